// The npm package eventsource against the relay: node eventsource.mjs URL
// Prints {"event": "open" | "message" | "error", ...} a line, and goes on until it is killed.
import { EventSource } from "eventsource"

const say = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n")

const source = new EventSource(process.argv[2])
source.onopen = () => say("open")
source.onmessage = ({ data, lastEventId }) => say("message", { data: JSON.parse(data), id: lastEventId })
source.onerror = ({ code }) => say("error", { code: code ?? null, closed: source.readyState === EventSource.CLOSED })
