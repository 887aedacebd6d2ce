"""The gateway: takes over HTTP what goes to Kafka. It imports `stepwell_schemas` alone."""
