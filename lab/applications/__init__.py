"""Applications of simulated pods: `application` → `behaviour` → `travel`."""
