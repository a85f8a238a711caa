// @rails/actioncable against the relay: node cable.mjs URL IDENTIFIER
// Prints {"event": ...} a line; reads {"perform": action, "data": {...}} or {"disconnect": true} a line.
import { createInterface } from "node:readline"
import WebSocket from "ws"

// The client was made for browsers: it listens for visibility changes of a page.
globalThis.addEventListener ??= () => {}
globalThis.removeEventListener ??= () => {}
globalThis.document ??= { visibilityState: "visible" }

const { adapters, ConnectionMonitor, createConsumer } = await import("@rails/actioncable")
adapters.WebSocket = WebSocket
// By default it looks for a stale connection every 6 s and then some; a test has no such time.
ConnectionMonitor.staleThreshold = 1

const [url, identifier] = process.argv.slice(2)
const say = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n")

const consumer = createConsumer(url)
const subscription = consumer.subscriptions.create(JSON.parse(identifier), {
  initialized: () => say("initialized"),
  connected: ({ reconnected }) => say("connected", { reconnected, protocol: consumer.connection.getProtocol() }),
  disconnected: ({ willAttemptReconnect }) => say("disconnected", { willAttemptReconnect }),
  rejected: () => say("rejected"),
  received: (message) => say("received", { message }),
})

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line)
  if (command.perform) subscription.perform(command.perform, command.data)
  if (command.send) subscription.send(command.send)
  if (command.disconnect) consumer.disconnect()
  if (command.state) say("state", { active: consumer.connection.isActive(), polling: consumer.connection.monitor.isRunning() })
})
