"""Phase 2: ADC precision and input precision of every layer, with the measured NI-accuracy in the loop."""
