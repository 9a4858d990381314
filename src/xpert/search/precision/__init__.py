"""Phase 2: ADC and input precision of every layer, with the accuracy of the simulated chips in the loop."""
