// supabase-js, unmodified, with the project's secret key: what servers do about accounts.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { isAuthApiError } from '@supabase/auth-js'
import { APP, PASSWORD, Mailbox, admin, client, follow, fragment, member, ok, refused, startAuth } from './auth.js'

let server, mails, users

before(async () => {
  server = await startAuth({ 'auth.redirect_urls': JSON.stringify([`${APP}/**`]) })
  mails = new Mailbox(server)
  users = admin(server).auth.admin
})

after(() => server?.stop())

const NOBODY = '00000000-0000-4000-8000-000000000000'
const signIn = (email, password = PASSWORD) => client(server).auth.signInWithPassword({ email, password })

test('a user is made, read, changed and deleted', async () => {
  const { user } = ok(await users.createUser({ email: 'ada@example.com', password: PASSWORD, email_confirm: true,
    user_metadata: { name: 'Ada' }, app_metadata: { plan: 'pro' } }))
  assert.ok(user.email_confirmed_at)
  assert.deepEqual([user.user_metadata.name, user.app_metadata.plan, user.app_metadata.provider], ['Ada', 'pro', 'email'])
  assert.equal(ok(await users.getUserById(user.id)).user.email, 'ada@example.com')
  assert.equal(ok(await signIn('ada@example.com')).user.id, user.id)

  const changed = ok(await users.updateUserById(user.id, { email: 'ada.new@example.com', password: 'battery staple 7',
    user_metadata: { name: null, city: 'Kyiv' }, app_metadata: { plan: 'free' } })).user
  assert.deepEqual([changed.email, changed.user_metadata.city, 'name' in changed.user_metadata, changed.app_metadata.plan],
    ['ada.new@example.com', 'Kyiv', false, 'free'])
  ok(await signIn('ada.new@example.com', 'battery staple 7'))

  ok(await users.deleteUser(user.id))
  refused(await users.getUserById(user.id), 'AuthApiError', 404, 'user_not_found')
  refused(await signIn('ada.new@example.com', 'battery staple 7'), 'AuthApiError', 400, 'invalid_credentials')
})

test('a user that is deleted softly keeps the id and nothing else', async () => {
  const { user } = ok(await users.createUser({ email: 'bob@example.com', password: PASSWORD, email_confirm: true, user_metadata: { name: 'Bob' } }))
  ok(await users.deleteUser(user.id, true))
  refused(await signIn('bob@example.com'), 'AuthApiError', 400, 'invalid_credentials')
  ok(await users.createUser({ email: 'bob@example.com', password: PASSWORD, email_confirm: true }))
})

test('users are listed in pages', async () => {
  for (const number of [1, 2, 3]) ok(await users.createUser({ email: `list${number}@example.com` }))
  const whole = ok(await users.listUsers())
  assert.equal(whole.total, whole.users.length)
  const first = ok(await users.listUsers({ page: 1, perPage: 2 }))
  assert.deepEqual([first.users.length, first.nextPage, first.total, first.lastPage], [2, 2, whole.total, Math.ceil(whole.total / 2)])
  const second = ok(await users.listUsers({ page: 2, perPage: 2 }))
  assert.ok(!second.users.some(({ id }) => first.users.some((other) => other.id === id)))
})

test('what exists already is told', async () => {
  ok(await users.createUser({ email: 'cleo@example.com', phone: '+491707777777' }))
  refused(await users.createUser({ email: 'cleo@example.com' }), 'AuthApiError', 422, 'email_exists')
  refused(await users.createUser({ phone: '+491707777777' }), 'AuthApiError', 422, 'phone_exists')
  refused(await users.updateUserById(NOBODY, { email: 'x@example.com' }), 'AuthApiError', 404, 'user_not_found')
})

test('a hash from another system is taken over', async () => {
  const password_hash = '$2a$10$m9aodLhIZM4yy8.TVAFySuWHTrZMRZkHzxnxgb4rxR6rjR0YTwmnC'
  ok(await users.createUser({ email: 'dora@example.com', password_hash, email_confirm: true }))
  ok(await signIn('dora@example.com', 'correct horse 9'))
})

test('a ban ends the sessions and keeps the user out until it is lifted', async () => {
  const { client: emil, session } = await member(server, mails, 'emil@example.com')
  const banned = ok(await users.updateUserById(session.user.id, { ban_duration: '24h' })).user
  assert.ok(new Date(banned.banned_until) > new Date())
  refused(await signIn('emil@example.com'), 'AuthApiError', 400, 'user_banned')
  assert.equal((await emil.auth.getUser()).error.code, 'user_banned')
  ok(await users.updateUserById(session.user.id, { ban_duration: 'none' }))
  ok(await signIn('emil@example.com'))
})

test('somebody is invited, follows the link and chooses a password', async () => {
  const { user } = ok(await users.inviteUserByEmail('finn@example.com', { data: { team: 'blue' }, redirectTo: `${APP}/welcome` }))
  assert.ok(user.invited_at)
  const address = await follow((await mails.next('finn@example.com')).link)
  assert.equal(address.pathname, '/welcome')
  const { access_token, refresh_token, type } = fragment(address)
  assert.equal(type, 'invite')
  const finn = client(server)
  assert.equal(ok(await finn.auth.setSession({ access_token, refresh_token })).user.user_metadata.team, 'blue')
  ok(await finn.auth.updateUser({ password: PASSWORD }))
  ok(await signIn('finn@example.com'))
  refused(await users.inviteUserByEmail('finn@example.com'), 'AuthApiError', 422, 'email_exists')
})

test('links are made to be sent by others', async () => {
  const made = ok(await users.generateLink({ type: 'signup', email: 'gwen@example.com', password: PASSWORD, options: { redirectTo: `${APP}/in`, data: { x: 1 } } }))
  assert.deepEqual([made.user.email, made.properties.verification_type], ['gwen@example.com', 'signup'])
  assert.equal((await follow(made.properties.action_link)).pathname, '/in')

  for (const type of ['magiclink', 'recovery']) {
    const { properties } = ok(await users.generateLink({ type, email: 'gwen@example.com' }))
    const gwen = client(server)
    ok(await gwen.auth.verifyOtp({ email: 'gwen@example.com', token: properties.email_otp, type }))
    const by = ok(await users.generateLink({ type, email: 'gwen@example.com' })).properties
    assert.ok(ok(await gwen.auth.verifyOtp({ token_hash: by.hashed_token, type })).session)
  }
  const invited = ok(await users.generateLink({ type: 'invite', email: 'gwen.invited@example.com' }))
  assert.equal(fragment(await follow(invited.properties.action_link)).type, 'invite')
  refused(await users.generateLink({ type: 'recovery', email: 'unknown@example.com' }), 'AuthApiError', 404, 'user_not_found')
  assert.deepEqual(await mails.all('gwen@example.com'), [], 'no mail was sent')
})

test('both links of a change of address are made', async () => {
  await member(server, mails, 'hugo@example.com')
  const change = { email: 'hugo@example.com', newEmail: 'hugo.new@example.com' }
  const current = ok(await users.generateLink({ type: 'email_change_current', ...change })).properties
  const next = ok(await users.generateLink({ type: 'email_change_new', ...change })).properties
  assert.match(fragment(await follow(current.action_link)).message, /accepted/)
  assert.equal(fragment(await follow(next.action_link)).type, 'email_change')
  ok(await signIn('hugo.new@example.com'))
})

test('a session is ended by its token', async () => {
  const { client: ines, session } = await member(server, mails, 'ines@example.com')
  ok(await users.signOut(session.access_token, 'global'))
  assert.equal((await ines.auth.getUser()).error.name, 'AuthSessionMissingError')
})

test('factors of users are listed', async () => {
  const { client: jon, session } = await member(server, mails, 'jon@example.com')
  const { id } = ok(await jon.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'lost' }))
  assert.deepEqual(ok(await users.mfa.listFactors({ userId: session.user.id })).factors.map((factor) => factor.id), [id])
  ok(await users.mfa.deleteFactor({ userId: session.user.id, id }))
  assert.deepEqual(ok(await users.mfa.listFactors({ userId: session.user.id })).factors, [])
})

test('nobody else may', async () => {
  const { client: kim } = await member(server, mails, 'kim@example.com')
  for (const made of [client(server), kim]) {
    const { error } = await made.auth.admin.listUsers()
    assert.ok(isAuthApiError(error))
    assert.ok([401, 403].includes(error.status), String(error.status))
    assert.ok((await made.auth.admin.createUser({ email: 'x@example.com' })).error)
  }
})
