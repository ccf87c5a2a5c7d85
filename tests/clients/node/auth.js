// What the tests of accounts share: a server that lets them ask as often as they need, its captured messages, and clients.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'
import { startServer } from './server.js'

/** Where the application of the tests is; nobody listens there. */
export const APP = 'http://app.example.com'
/** A password that no rule is against. */
export const PASSWORD = 'correct horse 9'

const LIMITS = ['emails_per_hour', 'sms_per_hour', 'otp', 'verify', 'token', 'anonymous', 'factors']

/** A server whose mails and messages can be read, with everything switched on that users may do. */
export function startAuth(settings = {}) {
  return startServer({
    ...Object.fromEntries(LIMITS.map((limit) => [`auth.rate_limits.${limit}`, 0])),
    'auth.email.resend_after': '0s',
    'auth.phone.resend_after': '0s',
    'auth.phone.enabled': true,
    'auth.anonymous_users': true,
    'auth.site_url': APP,
    ...settings,
  })
}

/** A client as an application makes it, with a session of its own. */
export function client(server, { auth, ...options } = {}) {
  return createClient(server.url, server.keys.anon_key, {
    auth: { persistSession: false, autoRefreshToken: false, ...auth },
    // Node 20 has no WebSocket of its own, and the client insists on one even where it is not used.
    realtime: { transport: WebSocket },
    ...options,
  })
}

/** A client of the project's own server. */
export function admin(server, auth) {
  return createClient(server.url, server.keys.service_role_key,
    { auth: { persistSession: false, autoRefreshToken: false, ...auth }, realtime: { transport: WebSocket } })
}

/** The data of an answer that must not be an error. */
export function ok({ data, error }) {
  assert.equal(error, null, JSON.stringify(error))
  return data
}

/** An answer must be an error of this class, with this status and code. */
export function refused({ error }, name, status, code) {
  assert.ok(error, 'an error was expected')
  assert.deepEqual([error.name, error.status, error.code], [name, status, code], error.message)
  return error
}

/** Reads the messages of a server in their order; none twice. */
export class Mailbox {
  #url
  #seen = new Map()

  constructor(server) {
    this.#url = `${server.url}/dev/mail`
  }

  /** All messages to somebody, the oldest first. */
  async all(to) {
    const answer = await fetch(`${this.#url}?to=${encodeURIComponent(to)}`, { headers: { accept: 'application/json' } })
    return (await answer.json()).reverse()
  }

  /** The next message to somebody whose subject fits: { subject, text, code, link }. */
  async next(to, subject = /^/) {
    const deadline = Date.now() + 30_000
    for (;;) {
      const unseen = (await this.all(to)).filter(({ id }) => id > (this.#seen.get(to) ?? 0))
      const message = unseen.find((message) => subject.test(message.subject ?? ''))
      if (message) {
        this.#seen.set(to, message.id)
        return { ...message, code: /\b\d{6}\b/.exec(message.text)?.[0], link: /http\S+\/verify\S+/.exec(message.text)?.[0] }
      }
      if (Date.now() > deadline) throw new Error(`no message to ${to} with ${subject}`)
      await new Promise((next) => setTimeout(next, 50))
    }
  }
}

/** Opens a link of a mail as a browser does; -> the address that it leads to. */
export async function follow(link) {
  const answer = await fetch(link, { redirect: 'manual' })
  assert.equal(answer.status, 303, await answer.text())
  return new URL(answer.headers.get('location'))
}

/** What an address has behind `#`. */
export function fragment(address) {
  return Object.fromEntries(new URLSearchParams(address.hash.slice(1)))
}

/** Signs up, and confirms by the code; -> the client, signed in, and its session. */
export async function member(server, mails, email, options) {
  const made = client(server, options)
  ok(await made.auth.signUp({ email, password: PASSWORD }))
  const { code } = await mails.next(email)
  const { session } = ok(await made.auth.verifyOtp({ type: 'signup', email, token: code }))
  return { client: made, session }
}

/** The code of an authenticator app (RFC 6238), `later` steps from now. */
export function totp(secret, later = 0) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...secret].map((digit) => alphabet.indexOf(digit).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)))
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later))
  const tag = createHmac('sha1', key).update(step).digest()
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}
