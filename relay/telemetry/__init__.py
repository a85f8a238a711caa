"""OpenTelemetry: a span for each stream, made of its trace row. Needs the extra `otel`.

spans  what a span says of a stream: names of the GenAI conventions where there are some
sink   hands each row that is settled on as a span, once, before it is stored
extra  opens the next one, where it is installed
otlp   OpenTelemetry's SDK and its OTLP exporter; the only module that imports them
"""
