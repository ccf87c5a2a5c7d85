// What the tests of realtime share: a server that lets them send as often as they need, clients, and waiting for what arrives.
import assert from 'node:assert/strict'
import pg from 'pg'
import WebSocket from 'ws'
import { client, startAuth } from './auth.js'

/** The longest that anything here may take, in milliseconds. */
const PATIENCE = 20_000

/** A server with a connection to its database: { server, sql, stop }. */
export async function startRealtime(settings = {}) {
  const server = await startAuth({ 'realtime.presence_calls': 1000, 'realtime.events_per_second': 10_000, ...settings })
  const sql = new pg.Client({ connectionString: server.keys.database_url })
  // A restarted server takes its database along.
  sql.on('error', () => {})
  await sql.connect()
  const stop = async () => {
    await sql.end().catch(() => {})
    await server.stop()
  }
  return { server, sql, stop }
}

/** The sockets of a client, so that a test can cut them. */
export class Line {
  #sockets = new Set()

  /** While it is, nobody is reached. */
  isDown = false

  /** What `realtime.transport` of a client is to be. */
  transport = ((line) => class extends WebSocket {
    constructor(url, ...args) {
      super(line.isDown ? 'ws://127.0.0.1:1' : url, ...args)
      line.#sockets.add(this)
      this.on('close', () => line.#sockets.delete(this))
    }
  })(this)

  /** Cuts the connection, as a network does. */
  cut() {
    for (const socket of this.#sockets) socket.terminate()
  }
}

const made = []

/** Options of a client that comes back quickly. */
export const quick = (line = new Line()) => ({
  realtime: { transport: line.transport, timeout: PATIENCE, reconnectAfterMs: () => 100 },
})

/** A client whose socket is closed when the test's file ends. */
export function listener(server, options = quick()) {
  return closedLater(client(server, options))
}

/** Has `closeAll` close a client. */
export function closedLater(client) {
  made.push(client)
  return client
}

/** Closes the sockets of all clients. */
export function closeAll() {
  for (const { realtime } of made) {
    // A client without channels has a timer, which a channel ends; `RealtimeClient.disconnect` would leave another.
    realtime.channel('the last')
    realtime.socketAdapter.getSocket().disconnect()
  }
}

/** Joins; -> what becomes of it: [status, error]. After what passes a client joins again by itself. */
function joined(channel) {
  const told = []
  channel.subscribe((status, error) => told.push([status, error]))
  const passes = ([status, error]) => status === 'TIMED_OUT' || error?.message.startsWith('UnableToConnectToProject:')
  return until(() => told.find((one) => !passes(one)), `joining ${channel.topic}`, 2 * PATIENCE)
}

/** Joins; -> the channel, once it is told that it is SUBSCRIBED. Fails with the reason that it is told. */
export async function subscribed(channel) {
  const [status, error] = await joined(channel)
  if (status !== 'SUBSCRIBED') throw error ?? new Error(status)
  return channel
}

/** Why a channel cannot be joined, as its client is told: [status, message]. */
export async function refusal(channel) {
  const [status, error] = await joined(channel)
  assert.notEqual(status, 'SUBSCRIBED')
  return [status, error?.message]
}

/** Waits until something holds; -> what it gives. */
export async function until(holds, what = String(holds), patience = PATIENCE, pause = 10) {
  const deadline = Date.now() + patience
  for (;;) {
    const given = await holds()
    if (given) return given
    if (Date.now() > deadline) throw new Error(`it did not come about: ${what}`)
    await new Promise((next) => setTimeout(next, pause))
  }
}

/** What arrives somewhere, in its order. */
export class Heard {
  all = []

  /** To be called with what arrives. */
  add = (event) => this.all.push(event)

  /** Waits for so many; -> them, which must be all. */
  async exactly(count) {
    await until(() => this.all.length >= count, `${count} events, there are ${JSON.stringify(this.all)}`)
    assert.equal(this.all.length, count, JSON.stringify(this.all))
    return this.all
  }

  /** Waits for one that fits; -> it. */
  one(fits) {
    return until(() => this.all.find(fits), `${fits} among ${JSON.stringify(this.all)}`)
  }
}

/** What a channel hears of broadcasts. */
export function broadcasts(channel, event = '*') {
  const heard = new Heard()
  channel.on('broadcast', { event }, heard.add)
  return heard
}

/** What a channel hears of changes, as [event type, new, old]. */
export function changes(channel, filter) {
  const heard = new Heard()
  channel.on('postgres_changes', { event: '*', schema: 'public', ...filter },
    (change) => heard.add([change.eventType, change.new, change.old]))
  return heard
}

/** What the server says about a channel. */
export function announcements(channel) {
  const heard = new Heard()
  channel.on('system', {}, heard.add)
  return heard
}
