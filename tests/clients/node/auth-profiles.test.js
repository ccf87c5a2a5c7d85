// supabase-js, unmodified, on servers that are set up otherwise: confirmation without a mail, closed sign-up, the strict
// profile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PASSWORD, Mailbox, admin, client, member, ok, refused, startAuth } from './auth.js'

/** Runs a test on a server with these settings. */
const on = (name, settings, body) => test(name, async () => {
  const server = await startAuth(settings)
  try {
    await body(server)
  } finally {
    await server.stop()
  }
})

on('where no mail is waited for, sign-up signs in and tells of a taken address', { 'auth.email.autoconfirm': true, 'auth.phone.autoconfirm': true }, async (server) => {
  const ada = client(server)
  const { session, user } = ok(await ada.auth.signUp({ email: 'ada@example.com', password: PASSWORD }))
  assert.equal(session.user.id, user.id)
  assert.ok(ok(await client(server).auth.signUp({ phone: '+491708888888', password: PASSWORD })).session)
  const taken = refused(await client(server).auth.signUp({ email: 'ada@example.com', password: PASSWORD }), 'AuthApiError', 422, 'user_already_exists')
  assert.equal(taken.message, 'User already registered')
  assert.equal(ok(await ada.auth.updateUser({ email: 'ada.new@example.com' })).user.email, 'ada.new@example.com')
})

on('where sign-up is closed, only administrators make accounts', { 'auth.signup': false, 'auth.anonymous_users': false }, async (server) => {
  const bob = client(server)
  refused(await bob.auth.signUp({ email: 'bob@example.com', password: PASSWORD }), 'AuthApiError', 422, 'signup_disabled')
  refused(await bob.auth.signInAnonymously(), 'AuthApiError', 422, 'signup_disabled')
  refused(await bob.auth.signInWithOtp({ email: 'bob@example.com' }), 'AuthApiError', 422, 'signup_disabled')
  ok(await admin(server).auth.admin.createUser({ email: 'bob@example.com', password: PASSWORD, email_confirm: true }))
  ok(await bob.auth.signInWithPassword({ email: 'bob@example.com', password: PASSWORD }))
})

on('requests beyond what is allowed are told so', { 'auth.rate_limits.token': 2, 'auth.email.resend_after': '60s' }, async (server) => {
  const cleo = client(server)
  for (let time = 0; time < 2; time += 1) await cleo.auth.signInWithPassword({ email: 'cleo@example.com', password: PASSWORD })
  refused(await cleo.auth.signInWithPassword({ email: 'cleo@example.com', password: PASSWORD }), 'AuthApiError', 429, 'over_request_rate_limit')
  ok(await cleo.auth.resetPasswordForEmail('cleo@example.com'))
  const soon = refused(await cleo.auth.resetPasswordForEmail('cleo@example.com'), 'AuthApiError', 429, 'over_email_send_rate_limit')
  assert.match(soon.message, /^For security purposes, you can only request this after \d+ seconds\.$/)
})

on('the strict profile shortens tokens, lengthens passwords and tells nothing of accounts', { 'auth.profile': 'strict' }, async (server) => {
  const { session } = await member(server, new Mailbox(server), 'dora@example.com')
  assert.equal(session.expires_in, 900)
  const made = client(server)
  const { error } = await made.auth.signUp({ email: 'emil@example.com', password: 'seven77' })
  assert.deepEqual([error.code, error.message], ['weak_password', 'Password should be at least 8 characters.'])
  ok(await made.auth.signInWithOtp({ email: 'unknown@example.com', options: { shouldCreateUser: false } }))
})
