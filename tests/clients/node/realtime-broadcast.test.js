// supabase-js, unmodified: broadcasts from sockets, by HTTP and from SQL, on public and private channels.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Mailbox, admin, member } from './auth.js'
import { announcements, broadcasts, closeAll, closedLater, listener, quick, refusal, startRealtime, subscribed, until } from './realtime.js'

// Members hear what is said in their room; those who write may speak.
const ROOMS = `
  create table members (room text, uid uuid, writes boolean);
  alter table members enable row level security;
  create policy own on members for select to authenticated using (uid = (select auth.uid()));
  create policy hear on realtime.messages for select to authenticated using (
    exists (select from members where room = realtime.topic() and uid = (select auth.uid())));
  create policy say on realtime.messages for insert to authenticated with check (
    exists (select from members where room = realtime.topic() and uid = (select auth.uid()) and writes))`

let running, server, sql, ada, bob, eve

before(async () => {
  running = await startRealtime()
  ;({ server, sql } = running)
  await sql.query(ROOMS)
  const mails = new Mailbox(server)
  ada = await person(mails, 'ada@example.com')
  bob = await person(mails, 'bob@example.com')
  eve = await person(mails, 'eve@example.com')
  await sql.query(`insert into members values ('kitchen', '${ada.id}', true), ('kitchen', '${bob.id}', false)`)
})

after(async () => {
  closeAll()
  await running?.stop()
})

async function person(mails, email) {
  const { client, session } = await member(server, mails, email, quick())
  await closedLater(client).realtime.setAuth()
  return { client, id: session.user.id, token: session.access_token }
}

/** A token as the server issues them, with other claims. */
function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ role: 'authenticated', aud: 'authenticated', ...claims })}`
  return `${text}.${createHmac('sha256', server.keys.jwt_secret).update(text).digest('base64url')}`
}

const secret = { private: true }

test('others hear a message with its event and payload, the sender does not', async () => {
  const [speaks, hears] = [listener(server).channel('room'), listener(server).channel('room')]
  const [own, heard] = [broadcasts(speaks), broadcasts(hears)]
  const [cursors, others] = [broadcasts(hears, 'cursor'), broadcasts(hears, 'other')]
  await Promise.all([subscribed(speaks), subscribed(hears)])

  assert.equal(await speaks.send({ type: 'broadcast', event: 'cursor', payload: { x: 1, name: 'Zoë' } }), 'ok')
  assert.equal(await speaks.send({ type: 'broadcast', event: 'end', payload: {} }), 'ok')
  assert.deepEqual(await heard.exactly(2), [
    { type: 'broadcast', event: 'cursor', payload: { x: 1, name: 'Zoë' } },
    { type: 'broadcast', event: 'end', payload: {} }])
  assert.deepEqual([cursors.all.length, others.all.length], [1, 0])
  await hears.send({ type: 'broadcast', event: 'answer', payload: {} })
  assert.deepEqual((await own.exactly(1)).map(({ event }) => event), ['answer'])
})

test('a sender that asks for it hears itself, and is told that its message was taken', async () => {
  const channel = listener(server).channel('echo', { config: { broadcast: { self: true, ack: true } } })
  const heard = broadcasts(channel)
  await subscribed(channel)
  assert.equal(await channel.send({ type: 'broadcast', event: 'a', payload: { n: 1 } }), 'ok')
  assert.deepEqual((await heard.exactly(1))[0].payload, { n: 1 })
  assert.equal(await channel.send({ type: 'broadcast', event: 'large', payload: { text: 'x'.repeat(3_000_500) } }), 'error')
  assert.equal(await channel.send({ type: 'broadcast', event: 'b', payload: {} }), 'ok')
  assert.deepEqual((await heard.exactly(2)).map(({ event }) => event), ['a', 'b'])
})

test('bytes arrive as bytes', async () => {
  const [speaks, hears] = [listener(server).channel('bytes'), listener(server).channel('bytes')]
  const heard = broadcasts(hears)
  await Promise.all([subscribed(speaks), subscribed(hears)])
  await speaks.send({ type: 'broadcast', event: 'raw', payload: new Uint8Array([0, 255, 7]).buffer })
  await speaks.httpSend('http', new Uint8Array([1, 0, 254]))
  await sql.query(`select realtime.send_binary('\\x00ff2a', 'sql', 'bytes', false)`)
  const got = Object.fromEntries((await heard.exactly(3)).map(({ event, payload }) => [event, [...new Uint8Array(payload)]]))
  assert.deepEqual(got, { raw: [0, 255, 7], http: [1, 0, 254], sql: [0, 255, 42] })
})

test('who has not joined sends by HTTP', async (t) => {
  t.mock.method(console, 'warn', () => {})
  const hears = listener(server).channel('post')
  const heard = broadcasts(hears)
  await subscribed(hears)
  const outside = listener(server).channel('post')
  assert.equal(await outside.send({ type: 'broadcast', event: 'batch', payload: { n: 1 } }), 'ok')
  assert.deepEqual(await outside.httpSend('one', { n: 2 }), { success: true })
  const got = await heard.exactly(2)
  assert.deepEqual(got.map(({ event, payload }) => [event, payload]), [['batch', { n: 1 }], ['one', { n: 2 }]])
})

test('a private channel is for those whom a policy admits, and each is told why not', async () => {
  const denied = 'Unauthorized: You do not have permissions to read from this Channel topic: '
  assert.deepEqual(await refusal(listener(server).channel('kitchen', { config: secret })), ['CHANNEL_ERROR', `${denied}kitchen`])
  assert.deepEqual(await refusal(ada.client.channel('cellar', { config: secret })), ['CHANNEL_ERROR', `${denied}cellar`])
})

test('on a private channel members hear, and those speak whom a policy lets', async () => {
  const config = { ...secret, broadcast: { ack: true } }
  const [speaks, hears] = [ada.client.channel('kitchen', { config }), bob.client.channel('kitchen', { config })]
  const [atAda, atBob] = [broadcasts(speaks), broadcasts(hears)]
  await Promise.all([subscribed(speaks), subscribed(hears)])
  // Of the same name, and another channel.
  const outside = listener(server).channel('kitchen')
  const atStranger = broadcasts(outside)
  await subscribed(outside)

  assert.equal(await speaks.send({ type: 'broadcast', event: 'soup', payload: {} }), 'ok')
  assert.equal(await hears.send({ type: 'broadcast', event: 'soup', payload: {} }, { timeout: 300 }), 'timed out')
  await assert.rejects(hears.httpSend('soup', {}), { message: 'Unauthorized' })
  assert.deepEqual(await speaks.httpSend('bread', {}), { success: true })
  await outside.send({ type: 'broadcast', event: 'noise', payload: {} })
  await sql.query(`select realtime.send('{}', 'end', 'kitchen', true), realtime.send('{}', 'end', 'kitchen', false)`)

  const events = async (heard) => {
    await heard.one(({ event }) => event === 'end')
    return heard.all.map(({ event }) => event)
  }
  assert.deepEqual(await events(atBob), ['soup', 'bread', 'end'])
  // What is sent by HTTP reaches the sender's own channel too.
  assert.deepEqual(await events(atAda), ['bread', 'end'])
  assert.deepEqual(await events(atStranger), ['end'])
  await Promise.all([ada.client.removeChannel(speaks), bob.client.removeChannel(hears)])
})

/** What becomes of a channel: its statuses, and what the server says about it. */
async function watched(channel) {
  const [said, statuses] = [announcements(channel), []]
  channel.subscribe((status) => statuses.push(status))
  await until(() => statuses.includes('SUBSCRIBED'))
  return { said, closed: () => until(() => statuses.includes('CLOSED')) }
}

test('who is a member no longer is told, and the channel is closed', async () => {
  await sql.query(`insert into members values ('attic', '${bob.id}', true)`)
  const { said, closed } = await watched(bob.client.channel('attic', { config: secret }))
  await sql.query(`delete from members where room = 'attic'`)
  await closed()
  assert.equal((await said.exactly(1))[0].message, 'You no longer have permission to read from this Channel topic: attic')
})

test('a channel ends with the token that it was joined by', async () => {
  const made = listener(server)
  await made.realtime.setAuth(token({ exp: Math.floor(Date.now() / 1000) + 8 }))
  const { said, closed } = await watched(made.channel('brief'))
  await closed()
  assert.match((await said.exactly(1))[0].message, /^InvalidJWTToken: Token has expired \d+ seconds ago$/)
})

test('a channel ends with the session of its user', async () => {
  const { said, closed } = await watched(eve.client.channel('session'))
  assert.equal((await admin(server).auth.admin.signOut(eve.token)).error, null)
  await closed()
  assert.match((await said.exactly(1))[0].message, /^InvalidJWTToken: /)
})

test('another token opens what its user may hear', async () => {
  const made = listener(server)
  const denied = 'Unauthorized: You do not have permissions to read from this Channel topic: kitchen'
  assert.equal((await refusal(made.channel('kitchen', { config: secret })))[1], denied)
  const other = listener(server)
  await other.realtime.setAuth(ada.token)
  const channel = other.channel('kitchen', { config: secret })
  const heard = broadcasts(channel)
  const { said, closed } = await watched(channel)
  await other.realtime.setAuth(bob.token)
  await sql.query(`select realtime.send('{}', 'still', 'kitchen')`)
  await heard.one(({ event }) => event === 'still')
  await other.realtime.setAuth(server.keys.anon_key)
  await closed()
  assert.equal((await said.exactly(1))[0].message, 'You no longer have permission to read from this Channel topic: kitchen')
})

test('SQL sends what is committed, and only that', async () => {
  const channel = ada.client.channel('kitchen', { config: secret })
  const heard = broadcasts(channel)
  await subscribed(channel)
  await sql.query('begin')
  await sql.query(`select realtime.send('{"dish": "none"}', 'served', 'kitchen')`)
  await sql.query('rollback')
  await sql.query(`select realtime.send('{"dish": "soup"}', 'served', 'kitchen')`)
  const [message] = await heard.exactly(1)
  assert.equal(message.event, 'served')
  assert.equal(message.payload.dish, 'soup')
  assert.match(message.meta.id, /^[0-9a-f-]{36}$/)
  assert.equal(message.payload.id, message.meta.id)
  await ada.client.removeChannel(channel)
})

test('a trigger broadcasts what happens to rows', async () => {
  await sql.query(`create table dishes (id int primary key, name text);
    create function tell() returns trigger language plpgsql as $$
    begin
      perform realtime.broadcast_changes('kitchen', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
      return null;
    end $$;
    create trigger tell after insert or update or delete on dishes for each row execute function tell()`)
  const channel = ada.client.channel('kitchen', { config: secret })
  const heard = broadcasts(channel)
  await subscribed(channel)
  await sql.query(`insert into dishes values (1, 'soup')`)
  await sql.query(`update dishes set name = 'stew'`)
  await sql.query('delete from dishes')
  const got = (await heard.exactly(3)).map(({ event, payload: { id, ...payload } }) => [event, payload])
  const row = (name) => ({ id: 1, name })
  const about = (operation, record, old_record) => [operation, { operation, record, old_record, table: 'dishes', schema: 'public' }]
  assert.deepEqual(got, [about('INSERT', row('soup'), null), about('UPDATE', row('stew'), row('soup')), about('DELETE', null, row('stew'))])
  await ada.client.removeChannel(channel)
})

test('stored messages are sent to who comes late, the newest of them, before live ones', async () => {
  await sql.query(`insert into members values ('history', '${ada.id}', true)`)
  const early = closedLater(admin(server)).channel('history', { config: secret })
  const heardBefore = broadcasts(early)
  await subscribed(early)
  const since = Date.now()
  for (const n of [1, 2, 3]) await sql.query(`select realtime.send('{"n": ${n}}', 'past', 'history')`)
  await heardBefore.exactly(3)
  const channel = ada.client.channel('history', { config: { ...secret, broadcast: { replay: { since, limit: 2 } } } })
  const heard = broadcasts(channel)
  await subscribed(channel)
  await sql.query(`select realtime.send('{"n": 4}', 'live', 'history')`)
  const got = (await heard.exactly(3)).map(({ event, payload, meta }) => [event, payload.n, meta.replayed ?? false])
  assert.deepEqual(got, [['past', 2, true], ['past', 3, true], ['live', 4, false]])
  await ada.client.removeChannel(channel)
})

test('a defined channel is a private one, has its limits, and keeps what is said for who comes late', async () => {
  const define = (definition) => fetch(`${server.url}/realtime/v1/api/definitions`, {
    method: 'POST',
    headers: { apikey: server.keys.service_role_key, 'content-type': 'application/json' },
    body: JSON.stringify(definition),
  })
  const definition = { pattern: 'minutes:*', private_only: true, roles: ['authenticated', 'service_role'], max_payload_bytes: 100, replay: true }
  assert.equal((await define(definition)).status, 201)
  await sql.query(`insert into members values ('minutes:1', '${ada.id}', true), ('minutes:1', '${bob.id}', false)`)
  const privateOnly = 'PrivateOnly: This channel can only be joined as a private one'
  assert.deepEqual(await refusal(listener(server).channel('minutes:1')), ['CHANNEL_ERROR', privateOnly])
  const denied = 'Unauthorized: You do not have permissions to read from this Channel topic: minutes:1'
  assert.deepEqual(await refusal(listener(server).channel('minutes:1', { config: secret })), ['CHANNEL_ERROR', denied])

  const since = Date.now() - 1000
  const speaks = ada.client.channel('minutes:1', { config: { ...secret, broadcast: { ack: true } } })
  await subscribed(speaks)
  const say = (text) => speaks.send({ type: 'broadcast', event: 'said', payload: { text } })
  assert.equal(await say('first'), 'ok')
  assert.equal(await say('x'.repeat(100)), 'error')
  assert.deepEqual(await speaks.httpSend('said', { text: 'second' }), { success: true })

  const late = bob.client.channel('minutes:1', { config: { ...secret, broadcast: { replay: { since, limit: 10 } } } })
  const heard = broadcasts(late)
  await subscribed(late)
  assert.equal(await say('third'), 'ok')
  const got = (await heard.exactly(3)).map(({ payload, meta }) => [payload.text, meta.replayed ?? false])
  assert.deepEqual(got, [['first', true], ['second', true], ['third', false]])
  await Promise.all([ada.client.removeChannel(speaks), bob.client.removeChannel(late)])
})

test('the project\'s secret key sees the channels that are open', async () => {
  const channel = listener(server).channel('listed')
  await subscribed(channel)
  const ask = (key) => fetch(`${server.url}/realtime/v1/api/channels`, { headers: { apikey: key } })
  const { topics } = await (await ask(server.keys.service_role_key)).json()
  assert.deepEqual(topics.find(({ topic }) => topic === 'listed'), { topic: 'listed', private: false, channels: 1, present: 0 })
  assert.equal((await ask(server.keys.anon_key)).status, 403)
})

test('the project\'s secret key joins every private channel', async () => {
  const channel = closedLater(admin(server)).channel('cellar', { config: { ...secret, broadcast: { self: true } } })
  const heard = broadcasts(channel)
  await subscribed(channel)
  await channel.send({ type: 'broadcast', event: 'a', payload: {} })
  await heard.exactly(1)
})
