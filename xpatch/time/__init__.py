"""The four axes in time: geometry, sampler, window, aggregation, on CF time of any calendar."""
