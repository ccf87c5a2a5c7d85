// supabase-js, unmodified: sessions from sign-in to sign-out, and what the other services make of them.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { isAuthApiError, isAuthRetryableFetchError, isAuthSessionMissingError } from '@supabase/auth-js'
import pg from 'pg'
import { PASSWORD, Mailbox, client, member, ok, refused, startAuth } from './auth.js'

let server, mails, sql

before(async () => {
  server = await startAuth()
  mails = new Mailbox(server)
  sql = new pg.Client({ connectionString: server.keys.database_url })
  await sql.connect()
})

after(async () => {
  await sql?.end()
  await server?.stop()
})

/** Waits until something holds. */
async function soon(holds) {
  const deadline = Date.now() + 20_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`it did not come about: ${holds}`)
    await new Promise((next) => setTimeout(next, 50))
  }
}

/** A further session of a member. */
async function elsewhere(email) {
  const other = client(server)
  ok(await other.auth.signInWithPassword({ email, password: PASSWORD }))
  return other
}

/** Whether a client's session is still one. */
async function isIn(made) {
  const { access_token } = ok(await made.auth.getSession()).session
  const { error } = await client(server).auth.getUser(access_token)
  assert.ok(!error || isAuthSessionMissingError(error), error?.message)
  return !error
}

test('two users read and write their own rows only, and a token is refused once its user has left', async () => {
  await sql.query(`create table diary (id bigint generated always as identity primary key, owner uuid not null default auth.uid(), page text);
    alter table diary enable row level security;
    create policy own on diary to authenticated using (owner = (select auth.uid())) with check (owner = (select auth.uid()))`)
  const { client: ada, session } = await member(server, mails, 'ada@example.com')
  const { client: bob } = await member(server, mails, 'bob@example.com')
  await soon(async () => !(await ada.from('diary').select('id')).error)

  for (const [made, page] of [[ada, 'of Ada'], [bob, 'of Bob']]) ok(await made.from('diary').insert({ page }))
  assert.deepEqual(ok(await ada.from('diary').select('page')), [{ page: 'of Ada' }])
  assert.deepEqual(ok(await bob.from('diary').select('page,owner')), [{ page: 'of Bob', owner: ok(await bob.auth.getUser()).user.id }])
  assert.equal((await bob.from('diary').insert({ page: 'x', owner: session.user.id })).error.code, '42501')
  assert.deepEqual(ok(await bob.from('diary').delete().eq('owner', session.user.id).select()), [])
  assert.deepEqual(ok(await client(server).from('diary').select('page')), [])

  const renewed = ok(await ada.auth.refreshSession()).session
  assert.notEqual(renewed.refresh_token, session.refresh_token)
  assert.deepEqual(ok(await ada.from('diary').select('page')), [{ page: 'of Ada' }])

  ok(await ada.auth.signOut())
  assert.deepEqual(ok(await ada.from('diary').select('page')), [], 'the client is anonymous again')
  const left = client(server, { global: { headers: { Authorization: `Bearer ${renewed.access_token}` } } })
  await soon(async () => (await left.from('diary').select('page')).status === 401)
  assert.equal((await left.auth.getUser(renewed.access_token)).error.name, 'AuthSessionMissingError')
  refused(await client(server).auth.refreshSession({ refresh_token: renewed.refresh_token }), 'AuthApiError', 400, 'refresh_token_not_found')
  assert.deepEqual(ok(await bob.from('diary').select('page')), [{ page: 'of Bob' }])
})

test('the events of a session come in their order', async () => {
  await member(server, mails, 'cleo@example.com')
  const cleo = client(server)
  const events = []
  const { data } = cleo.auth.onAuthStateChange((event, session) => events.push([event, session?.user.email]))
  await soon(() => events.length === 1)
  ok(await cleo.auth.signInWithPassword({ email: 'cleo@example.com', password: PASSWORD }))
  ok(await cleo.auth.refreshSession())
  ok(await cleo.auth.updateUser({ data: { x: 1 } }))
  ok(await cleo.auth.signOut())
  data.subscription.unsubscribe()
  const who = 'cleo@example.com'
  assert.deepEqual(events, [['INITIAL_SESSION', undefined], ['SIGNED_IN', who], ['TOKEN_REFRESHED', who], ['USER_UPDATED', who], ['SIGNED_OUT', undefined]])
})

test('the claims of a token are those that the other services go by', async () => {
  const { client: dora, session } = await member(server, mails, 'dora@example.com')
  const { claims, header } = ok(await dora.auth.getClaims())
  assert.equal(header.alg, 'HS256')
  assert.deepEqual([claims.iss, claims.sub, claims.aud, claims.role, claims.email, claims.phone, claims.aal, claims.is_anonymous],
    [`${server.url}/auth/v1`, session.user.id, 'authenticated', 'authenticated', 'dora@example.com', '', 'aal1', false])
  assert.equal(claims.exp - claims.iat, 3600)
  assert.match(claims.session_id, /^[0-9a-f-]{36}$/)
  assert.deepEqual(claims.amr.map(({ method }) => method), ['otp'])
  assert.deepEqual(claims.app_metadata, { provider: 'email', providers: ['email'] })

  const { session: next } = ok(await dora.auth.refreshSession())
  const after = ok(await dora.auth.getClaims(next.access_token)).claims
  assert.equal(after.session_id, claims.session_id)
  const { error } = await dora.auth.getClaims(`${next.access_token.slice(0, -6)}AAAAAA`)
  assert.deepEqual([error.name, error.status, error.code], ['AuthApiError', 403, 'bad_jwt'])
})

test('a session is carried to another client', async () => {
  const { session } = await member(server, mails, 'emil@example.com')
  const other = client(server)
  const { user } = ok(await other.auth.setSession({ access_token: session.access_token, refresh_token: session.refresh_token }))
  assert.equal(user.email, 'emil@example.com')
  const { session: renewed } = ok(await other.auth.refreshSession())
  assert.equal(renewed.user.id, user.id)
})

test('a session whose access token has expired is refreshed on the way', async () => {
  const { session } = await member(server, mails, 'finn@example.com')
  const [head, , signature] = session.access_token.split('.')
  const expired = `${head}.${Buffer.from(JSON.stringify({ exp: 1 })).toString('base64url')}.${signature}`
  const made = client(server)
  const { session: renewed } = ok(await made.auth.setSession({ access_token: expired, refresh_token: session.refresh_token }))
  assert.equal(renewed.user.email, 'finn@example.com')
})

test('clients that share a session and refresh at once all go on', async () => {
  const { session } = await member(server, mails, 'gwen@example.com')
  const tabs = Array.from({ length: 5 }, () => client(server))
  const answers = await Promise.all(tabs.map((tab) => tab.auth.refreshSession({ refresh_token: session.refresh_token })))
  const tokens = answers.map((answer) => ok(answer).session.refresh_token)
  assert.equal(new Set(tokens).size, 1)
  ok(await tabs[0].auth.getUser())
})

test('what is no refresh token is told apart from one that is not known', async () => {
  const made = client(server)
  refused(await made.auth.refreshSession({ refresh_token: 'nonsense' }), 'AuthApiError', 400, 'validation_failed')
  const unknown = refused(await made.auth.refreshSession({ refresh_token: 'abcdefghij12' }), 'AuthApiError', 400, 'refresh_token_not_found')
  assert.equal(unknown.message, 'Invalid Refresh Token: Refresh Token Not Found')
  assert.ok(isAuthApiError(unknown))
})

test('without a session there is nothing to ask', async () => {
  const made = client(server)
  for (const answer of [await made.auth.getUser(), await made.auth.refreshSession(), await made.auth.updateUser({ data: {} })]) {
    assert.ok(isAuthSessionMissingError(answer.error))
  }
})

test('signing out ends this session, the others, or all', async () => {
  await member(server, mails, 'hugo@example.com')
  const [phone, laptop, desk] = [await elsewhere('hugo@example.com'), await elsewhere('hugo@example.com'), await elsewhere('hugo@example.com')]

  const gone = ok(await phone.auth.getSession()).session.access_token
  ok(await phone.auth.signOut({ scope: 'local' }))
  assert.equal(ok(await phone.auth.getSession()).session, null)
  assert.ok(isAuthSessionMissingError((await phone.auth.getUser(gone)).error))
  assert.deepEqual([await isIn(laptop), await isIn(desk)], [true, true])

  ok(await laptop.auth.signOut({ scope: 'others' }))
  assert.deepEqual([await isIn(laptop), await isIn(desk)], [true, false])

  const other = await elsewhere('hugo@example.com')
  ok(await laptop.auth.signOut({ scope: 'global' }))
  assert.equal(await isIn(other), false)
})

test('signing out twice, or with a session that is gone, is no error', async () => {
  const { client: ines } = await member(server, mails, 'ines@example.com')
  await sql.query("delete from auth.sessions where user_id in (select id from auth.users where email = 'ines@example.com')")
  ok(await ines.auth.signOut())
  ok(await ines.auth.signOut())
})

test('a client whose session was ended elsewhere forgets it', async () => {
  const { client: jon } = await member(server, mails, 'jon@example.com')
  const events = []
  jon.auth.onAuthStateChange((event) => events.push(event))
  await sql.query("delete from auth.sessions where user_id in (select id from auth.users where email = 'jon@example.com')")
  assert.ok(isAuthSessionMissingError((await jon.auth.getUser()).error))
  assert.equal(ok(await jon.auth.getSession()).session, null)
  assert.ok(events.includes('SIGNED_OUT'))
})

test('while the database is in trouble clients try again, and keep their session', async () => {
  const statuses = []
  const counted = async (...asked) => {
    const answer = await fetch(...asked)
    statuses.push(answer.status)
    return answer
  }
  const { client: kim, session } = await member(server, mails, 'kim@example.com', { global: { fetch: counted } })
  await sql.query('alter role goforward nologin')
  await sql.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'goforward'")
  let refresh
  try {
    const { error } = await kim.auth.getUser()
    assert.ok(isAuthRetryableFetchError(error), error?.message)
    assert.equal(error.status, 503)
    assert.deepEqual(ok(await kim.auth.getSession()).session, session)
    statuses.length = 0
    refresh = kim.auth.refreshSession()
    await soon(() => statuses.includes(503))
  } finally {
    await sql.query('alter role goforward login')
  }
  assert.equal(ok(await refresh).session.user.id, session.user.id)
  assert.equal(statuses.at(-1), 200)
})
