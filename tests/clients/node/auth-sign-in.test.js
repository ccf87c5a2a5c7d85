// supabase-js, unmodified: how users come in, by every way that needs no other provider.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { AuthClient } from '@supabase/auth-js'
import { APP, PASSWORD, Mailbox, client, follow, fragment, member, ok, refused, startAuth } from './auth.js'

let server, mails
const PKCE = { auth: { flowType: 'pkce' } }

before(async () => {
  server = await startAuth({ 'auth.redirect_urls': '["http://app.example.com/**"]' })
  mails = new Mailbox(server)
})

after(() => server?.stop())

/** Signs up without confirming; -> the client and the user. */
async function newcomer(credentials, options) {
  const made = client(server, options)
  const { user, session } = ok(await made.auth.signUp(credentials))
  assert.equal(session, null)
  return { client: made, user }
}

test('a new user confirms the address by the code and is signed in', async () => {
  const { client: ada, user } = await newcomer({ email: 'ada@example.com', password: PASSWORD, options: { data: { name: 'Ada' } } })
  assert.deepEqual([user.email, user.role, user.aud, user.is_anonymous], ['ada@example.com', 'authenticated', 'authenticated', false])
  assert.equal(user.email_confirmed_at, undefined)
  assert.ok(user.confirmation_sent_at)

  refused(await ada.auth.signInWithPassword({ email: 'ada@example.com', password: PASSWORD }), 'AuthApiError', 400, 'email_not_confirmed')
  const { code } = await mails.next('ada@example.com')
  const { session } = ok(await ada.auth.verifyOtp({ email: 'ada@example.com', token: code, type: 'email' }))

  assert.equal(session.token_type, 'bearer')
  assert.equal(session.expires_in, 3600)
  assert.equal(session.user.id, user.id)
  assert.ok(session.user.email_confirmed_at)
  assert.deepEqual(session.user.user_metadata, { name: 'Ada', email_verified: true })
  assert.deepEqual(session.user.app_metadata, { provider: 'email', providers: ['email'] })
  const [identity] = session.user.identities
  assert.deepEqual([identity.provider, identity.id, identity.user_id, identity.identity_data.email], ['email', user.id, user.id, 'ada@example.com'])
  assert.deepEqual(ok(await ada.auth.getSession()).session, session)
})

test('the link of the mail signs in, with the session behind the #', async () => {
  const { client: bob } = await newcomer({ email: 'bob@example.com', password: PASSWORD, options: { emailRedirectTo: `${APP}/welcome?from=mail` } })
  const { link } = await mails.next('bob@example.com')
  const address = await follow(link)

  assert.equal(address.origin + address.pathname + address.search, `${APP}/welcome?from=mail`)
  const { access_token, refresh_token, token_type, expires_in, type } = fragment(address)
  assert.deepEqual([token_type, expires_in, type], ['bearer', '3600', 'signup'])
  const { user } = ok(await bob.auth.setSession({ access_token, refresh_token }))
  assert.equal(user.email, 'bob@example.com')

  const again = fragment(await follow(link))
  assert.deepEqual([again.error, again.error_code], ['access_denied', 'otp_expired'])
})

test('under PKCE the link brings a code that only the client can exchange that began', async () => {
  const { client: cleo } = await newcomer({ email: 'cleo@example.com', password: PASSWORD }, PKCE)
  const address = await follow((await mails.next('cleo@example.com')).link)
  assert.equal(address.hash, '')
  const code = address.searchParams.get('code')

  const { session, user } = ok(await cleo.auth.exchangeCodeForSession(code))
  assert.equal(user.email, 'cleo@example.com')
  assert.equal(ok(await cleo.auth.getUser(session.access_token)).user.id, user.id)
  ok(await cleo.auth.signInWithOtp({ email: 'cleo@example.com' }))
  refused(await cleo.auth.exchangeCodeForSession(code), 'AuthApiError', 404, 'flow_state_not_found')
})

test('a code for the client of somebody else is of no use', async () => {
  const { client: victim } = await newcomer({ email: 'victim@example.com', password: PASSWORD }, PKCE)
  const { client: thief } = await newcomer({ email: 'thief@example.com', password: PASSWORD }, PKCE)
  const code = (await follow((await mails.next('victim@example.com')).link)).searchParams.get('code')

  refused(await thief.auth.exchangeCodeForSession(code), 'AuthApiError', 400, 'bad_code_verifier')
  refused(await victim.auth.exchangeCodeForSession(code), 'AuthApiError', 404, 'flow_state_not_found')
})

test('under PKCE the code of the mail can be typed as well', async () => {
  const { client: dora } = await newcomer({ email: 'dora@example.com', password: PASSWORD }, PKCE)
  const { code } = await mails.next('dora@example.com')
  assert.ok(ok(await dora.auth.verifyOtp({ email: 'dora@example.com', token: code, type: 'signup' })).session)
})

test('a link can be taken over by a page of the application, by its hash', async () => {
  const { client: emil } = await newcomer({ email: 'emil@example.com', password: PASSWORD })
  const { link } = await mails.next('emil@example.com')
  const token_hash = new URL(link).searchParams.get('token')
  assert.ok(ok(await emil.auth.verifyOtp({ token_hash, type: 'email' })).session)
})

test('the confirmation is sent once more, and the first code counts no more', async () => {
  const { client: finn } = await newcomer({ email: 'finn@example.com', password: PASSWORD })
  const first = await mails.next('finn@example.com')
  ok(await finn.auth.resend({ type: 'signup', email: 'finn@example.com' }))
  const second = await mails.next('finn@example.com')
  refused(await finn.auth.verifyOtp({ token_hash: new URL(first.link).searchParams.get('token'), type: 'signup' }), 'AuthApiError', 403, 'otp_expired')
  ok(await finn.auth.verifyOtp({ email: 'finn@example.com', token: second.code, type: 'signup' }))
})

test('signing up with an address that is taken tells nothing', async () => {
  await member(server, mails, 'gwen@example.com')
  const { user } = await newcomer({ email: 'gwen@example.com', password: 'another password' })
  assert.deepEqual(user.identities, [])
  assert.equal(user.email, 'gwen@example.com')
})

test('a password signs in, a wrong one does not, and neither tells who has an account', async () => {
  const { session } = await member(server, mails, 'hugo@example.com')
  const hugo = client(server)
  const wrong = refused(await hugo.auth.signInWithPassword({ email: 'hugo@example.com', password: 'wrong' }), 'AuthApiError', 400, 'invalid_credentials')
  const nobody = refused(await hugo.auth.signInWithPassword({ email: 'nobody@example.com', password: 'wrong' }), 'AuthApiError', 400, 'invalid_credentials')
  assert.deepEqual([wrong.message, nobody.message], ['Invalid login credentials', 'Invalid login credentials'])
  const data = ok(await hugo.auth.signInWithPassword({ email: 'HUGO@example.com', password: PASSWORD }))
  assert.equal(data.user.id, session.user.id)
  assert.ok(data.user.last_sign_in_at)
  assert.notEqual(data.session.refresh_token, session.refresh_token)
})

test('a weak password is refused with its reasons', async () => {
  const { error } = await client(server).auth.signUp({ email: 'weak@example.com', password: 'short' })
  assert.deepEqual([error.name, error.status, error.code, error.reasons], ['AuthWeakPasswordError', 422, 'weak_password', ['length']])
  assert.equal(error.message, 'Password should be at least 6 characters.')
})

test('a telephone signs up, confirms and signs in', async () => {
  const { client: ines, user } = await newcomer({ phone: '+491701234567', password: PASSWORD })
  assert.equal(user.phone, '491701234567')
  refused(await ines.auth.signInWithPassword({ phone: '+491701234567', password: PASSWORD }), 'AuthApiError', 400, 'phone_not_confirmed')
  const { code, kind } = await mails.next('+491701234567')
  assert.equal(kind, 'sms')
  const { session } = ok(await ines.auth.verifyOtp({ phone: '+491701234567', token: code, type: 'sms' }))
  assert.ok(session.user.phone_confirmed_at)
  assert.deepEqual(session.user.app_metadata, { provider: 'phone', providers: ['phone'] })
  assert.equal(ok(await client(server).auth.signInWithPassword({ phone: '+491701234567', password: PASSWORD })).user.id, user.id)
})

test('the code by SMS is sent once more', async () => {
  const { client: jon } = await newcomer({ phone: '+491701111111', password: PASSWORD })
  await mails.next('+491701111111')
  ok(await jon.auth.resend({ type: 'sms', phone: '+491701111111' }))
  const { code } = await mails.next('+491701111111')
  assert.ok(ok(await jon.auth.verifyOtp({ phone: '+491701111111', token: code, type: 'sms' })).session)
})

test('a code by mail signs in, and signs a new user up', async () => {
  const kim = client(server)
  for (const isNew of [true, false]) {
    const asked = ok(await kim.auth.signInWithOtp({ email: 'kim@example.com', options: { data: { from: 'otp' } } }))
    assert.deepEqual([asked.user, asked.session], [null, null])
    const { code } = await mails.next('kim@example.com')
    const { session } = ok(await kim.auth.verifyOtp({ email: 'kim@example.com', token: code, type: 'email' }))
    assert.equal(session.user.user_metadata.from, 'otp', isNew ? 'at sign-up' : 'later')
  }
})

test('a link by mail signs in, implicit and under PKCE', async () => {
  for (const options of [undefined, PKCE]) {
    const lena = client(server, options)
    ok(await lena.auth.signInWithOtp({ email: 'lena@example.com', options: { emailRedirectTo: `${APP}/in` } }))
    const address = await follow((await mails.next('lena@example.com')).link)
    assert.equal(address.pathname, '/in')
    const { access_token, refresh_token } = fragment(address)
    const { user } = ok(options
      ? await lena.auth.exchangeCodeForSession(address.searchParams.get('code'))
      : await lena.auth.setSession({ access_token, refresh_token }))
    assert.equal(user.email, 'lena@example.com')
  }
})

test('a link leads to no address that is not allowed', async () => {
  ok(await client(server).auth.signInWithOtp({ email: 'mara@example.com', options: { emailRedirectTo: 'https://evil.example.net/' } }))
  assert.equal((await follow((await mails.next('mara@example.com')).link)).origin, APP)
})

test('a code by SMS signs in', async () => {
  const nils = client(server)
  ok(await nils.auth.signInWithOtp({ phone: '+491702222222' }))
  const { code } = await mails.next('+491702222222')
  refused(await nils.auth.verifyOtp({ phone: '+491702222222', token: code === '123456' ? '654321' : '123456', type: 'sms' }), 'AuthApiError', 403, 'otp_expired')
  const { user } = ok(await nils.auth.verifyOtp({ phone: '+491702222222', token: code, type: 'sms' }))
  assert.equal(user.phone, '491702222222')
})

test('who may not be signed up gets no code', async () => {
  const answer = await client(server).auth.signInWithOtp({ email: 'unknown@example.com', options: { shouldCreateUser: false } })
  assert.equal(refused(answer, 'AuthApiError', 422, 'otp_disabled').message, 'Signups not allowed for otp')
})

test('an anonymous user becomes one with an address and a password, and stays the same user', async () => {
  const olga = client(server)
  const { user, session } = ok(await olga.auth.signInAnonymously({ options: { data: { cart: 3 } } }))
  assert.deepEqual([user.is_anonymous, user.email, user.app_metadata, user.identities], [true, '', {}, []])
  assert.equal(ok(await olga.auth.getClaims(session.access_token)).claims.is_anonymous, true)

  const asked = ok(await olga.auth.updateUser({ email: 'olga@example.com' })).user
  assert.deepEqual([asked.new_email, asked.is_anonymous], ['olga@example.com', true])
  const { code } = await mails.next('olga@example.com')
  ok(await olga.auth.verifyOtp({ email: 'olga@example.com', token: code, type: 'email_change' }))
  ok(await olga.auth.updateUser({ password: PASSWORD }))

  const after = ok(await client(server).auth.signInWithPassword({ email: 'olga@example.com', password: PASSWORD })).user
  assert.deepEqual([after.id, after.is_anonymous, after.user_metadata.cart], [user.id, false, 3])
  assert.deepEqual(after.identities.map(({ provider }) => provider), ['email'])
})

test('an anonymous user becomes one with a telephone', async () => {
  const pia = client(server)
  const { user } = ok(await pia.auth.signInAnonymously())
  ok(await pia.auth.updateUser({ phone: '+491703333333' }))
  const { code } = await mails.next('+491703333333')
  const after = ok(await pia.auth.verifyOtp({ phone: '+491703333333', token: code, type: 'phone_change' })).user
  assert.deepEqual([after.id, after.phone, after.is_anonymous], [user.id, '491703333333', false])
})

test('auth-js alone works without supabase-js', async () => {
  const { user } = (await member(server, mails, 'quin@example.com')).session
  const alone = new AuthClient({ url: `${server.url}/auth/v1`, headers: { apikey: server.keys.anon_key }, persistSession: false, autoRefreshToken: false })
  const { session } = ok(await alone.signInWithPassword({ email: 'quin@example.com', password: PASSWORD }))
  assert.equal(session.user.id, user.id)
  assert.equal(ok(await alone.refreshSession()).user.id, user.id)
  ok(await alone.signOut())
})

test('the settings tell clients what users may do', async () => {
  const answer = await fetch(`${server.url}/auth/v1/settings`, { headers: { apikey: server.keys.anon_key } })
  const { external, disable_signup, mailer_autoconfirm, phone_autoconfirm } = await answer.json()
  assert.deepEqual([external.email, external.phone, external.anonymous_users, external.google], [true, true, true, false])
  assert.deepEqual([disable_signup, mailer_autoconfirm, phone_autoconfirm], [false, false, false])
})
