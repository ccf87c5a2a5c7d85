// supabase-js, unmodified: changes of tables, for those who may see the rows.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { postgresChangesFilter } from '@supabase/supabase-js'
import { Mailbox, admin, member, ok } from './auth.js'
import { Heard, announcements, changes, closeAll, closedLater, listener, quick, startRealtime, subscribed, until } from './realtime.js'

// Notes are their owner's; what stands on the board is everybody's.
const TABLES = `
  create table notes (id int primary key, owner uuid not null default auth.uid(), title text);
  alter table notes enable row level security;
  create policy own on notes to authenticated using (owner = (select auth.uid())) with check (true);
  create table board (id int primary key, kind text, size int, done boolean, tags text[], made timestamp, extra jsonb);
  alter table board enable row level security;
  create policy everybody on board for select using (true);
  create table secrets (id int primary key);
  alter table secrets enable row level security;
  alter publication supabase_realtime add table notes, board, secrets`

let running, server, sql, ada, bob

before(async () => {
  running = await startRealtime()
  ;({ server, sql } = running)
  await sql.query(TABLES)
  const mails = new Mailbox(server)
  ada = await person(mails, 'ada@example.com')
  bob = await person(mails, 'bob@example.com')
  await until(async () => !(await ada.client.from('notes').select('id')).error, 'notes are served')
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

/** Everything that a client hears of a table, and what the server says about it. */
async function following(client, filter) {
  const channel = client.channel(`changes of ${JSON.stringify(filter)} ${Math.random()}`)
  const [heard, said] = [changes(channel, filter), announcements(channel)]
  await subscribed(channel)
  return { channel, heard, said }
}

const titles = ({ all }) => all.map(([type, now, old]) => `${type} ${now.id ?? old.id} ${now.title ?? ''}`.trim())

test('of two users each hears of the own rows: new, changed, deleted', async () => {
  const clients = [ada.client, bob.client, listener(server)]
  const [atAda, atBob, atNobody] = await Promise.all(clients.map((client) => following(client, { table: 'notes' })))
  for (const [{ client }, id] of [[ada, 1], [bob, 2]]) {
    ok(await client.from('notes').insert({ id, title: 'new' }))
    ok(await client.from('notes').update({ title: 'changed' }).eq('id', id))
    ok(await client.from('notes').delete().eq('id', id))
  }
  assert.deepEqual(await atAda.heard.exactly(3), [
    ['INSERT', { id: 1, owner: ada.id, title: 'new' }, {}],
    ['UPDATE', { id: 1, owner: ada.id, title: 'changed' }, { id: 1 }],
    ['DELETE', {}, { id: 1 }]])
  await atBob.heard.exactly(3)
  assert.deepEqual(titles(atBob.heard), ['INSERT 2 new', 'UPDATE 2 changed', 'DELETE 2'])
  assert.deepEqual(atNobody.heard.all, [])
})

test('a row that changes hands is deleted for one, and an update for the other', async () => {
  const [atAda, atBob] = await Promise.all([ada.client, bob.client].map((client) => following(client, { table: 'notes' })))
  await sql.query(`insert into notes values (3, '${ada.id}', 'gift')`)
  await sql.query(`update notes set owner = '${bob.id}' where id = 3`)
  await sql.query(`delete from notes where id = 3`)
  await sql.query(`insert into notes values (4, '${ada.id}', 'end')`)
  await atBob.heard.exactly(2)
  await atAda.heard.exactly(3)
  assert.deepEqual(titles(atAda.heard), ['INSERT 3 gift', 'DELETE 3', 'INSERT 4 end'])
  assert.deepEqual(titles(atBob.heard), ['UPDATE 3 gift', 'DELETE 3'])
})

test('what is written as soon as a channel is SUBSCRIBED arrives', async () => {
  for (let id = 100; id < 120; id += 1) {
    const channel = ada.client.channel(`at once ${id}`)
    const heard = changes(channel, { table: 'board' })
    await subscribed(channel)
    await sql.query('insert into board (id) values ($1)', [id])
    assert.equal((await heard.exactly(1))[0][1].id, id)
    await ada.client.removeChannel(channel)
  }
})

test('a table that was just made can be followed', async () => {
  await sql.query(`create table fresh (id int primary key);
    alter table fresh enable row level security;
    create policy everybody on fresh for select using (true);
    alter publication supabase_realtime add table fresh`)
  const { heard } = await following(listener(server), { table: 'fresh' })
  await sql.query('insert into fresh values (1)')
  assert.deepEqual(await heard.exactly(1), [['INSERT', { id: 1 }, {}]])
})

test('cells arrive in the types of JavaScript', async () => {
  const { heard } = await following(listener(server), { table: 'board' })
  await sql.query(`insert into board values (1, 'a', 7, true, '{x,"y z"}', '2024-05-01 12:00:00', '{"deep": [1, null]}')`)
  assert.deepEqual((await heard.exactly(1))[0][1], {
    id: 1, kind: 'a', size: 7, done: true, tags: ['x', 'y z'], made: '2024-05-01T12:00:00', extra: { deep: [1, null] } })
})

test('a filter says which rows, and conditions are combined', async () => {
  const wanted = {
    'kind=eq.tool': [10, 13], 'size=gte.5': [11, 12], 'size=lt.5': [10, 13], 'kind=in.(toy,food)': [11, 12],
    'kind=like.to%': [10, 11, 13], 'done=is.true': [10], 'kind=not.eq.tool': [11, 12], 'kind=eq.tool,done=is.false': [13],
  }
  const made = listener(server)
  const built = postgresChangesFilter().gt('size', 2).eq('kind', 'toy')
  const all = await Promise.all([...Object.keys(wanted), built].map((filter) => following(made, { table: 'board', filter })))
  await sql.query(`insert into board (id, kind, size, done) values
    (10, 'tool', 1, true), (11, 'toy', 5, null), (12, 'food', 9, false), (13, 'tool', 2, false)`)
  const expected = [...Object.values(wanted), [11]]
  for (const [number, { heard }] of all.entries()) {
    await heard.exactly(expected[number].length)
    assert.deepEqual(heard.all.map(([, row]) => row.id), expected[number], Object.keys(wanted)[number])
  }
})

test('a filter sees all of a deleted row, and the new row of an update', async () => {
  const { heard } = await following(listener(server), { table: 'board', filter: 'kind=eq.rare' })
  await sql.query(`insert into board (id, kind) values (15, 'rare'), (16, 'common'), (17, 'rare')`)
  await sql.query(`update board set kind = case id when 15 then 'common' else 'rare' end where id in (15, 16)`)
  await sql.query('delete from board where id in (15, 16, 17)')
  assert.deepEqual((await heard.exactly(5)).map(([type, now, old]) => `${type} ${now.id ?? old.id}`),
    ['INSERT 15', 'INSERT 17', 'UPDATE 16', 'DELETE 16', 'DELETE 17'])
})

test('listeners for one kind of event hear that kind', async () => {
  const channel = listener(server).channel('kinds')
  const heard = { INSERT: new Heard(), UPDATE: new Heard(), DELETE: new Heard() }
  for (const [event, { add }] of Object.entries(heard)) {
    channel.on('postgres_changes', { event, schema: 'public', table: 'board' }, ({ eventType }) => add(eventType))
  }
  await subscribed(channel)
  await sql.query('insert into board (id) values (20)')
  await sql.query('update board set size = 1 where id = 20')
  await sql.query('delete from board where id = 20')
  for (const event of Object.keys(heard)) assert.deepEqual(await heard[event].exactly(1), [event])
})

test('a selection has its columns and the key, and a full replica identity the whole old row', async () => {
  const { heard } = await following(listener(server), { table: 'board', select: ['kind'] })
  await sql.query(`insert into board (id, kind, size) values (30, 'a', 3)`)
  assert.deepEqual((await heard.exactly(1))[0], ['INSERT', { id: 30, kind: 'a' }, {}])
  await sql.query('alter table board replica identity full')
  await until(async () => {
    await sql.query(`update board set kind = 'b' || random() where id = 30`)
    return heard.all.find(([, , old]) => old.kind)
  })
  await sql.query('alter table board replica identity default')
})

test('another token hears what its user may see', async () => {
  const made = listener(server)
  const { heard } = await following(made, { table: 'notes' })
  const { heard: atAda } = await following(ada.client, { table: 'notes' })
  await sql.query(`insert into notes values (40, '${ada.id}', 'before')`)
  await atAda.exactly(1)
  await made.realtime.setAuth(ada.token)
  // The server answers a token with nothing; when it holds is seen by its effect.
  let id = 40
  await until(async () => {
    await sql.query(`insert into notes values (${++id}, '${ada.id}', 'after')`)
    return heard.all.length
  })
  assert.ok(!titles(heard).some((title) => title.endsWith('before')))
  await made.realtime.setAuth(bob.token)
  await until(async () => {
    await sql.query(`insert into notes values (${++id}, '${bob.id}', 'of Bob')`)
    return titles(heard).some((title) => title.endsWith('of Bob'))
  })
  await sql.query(`insert into notes values (${++id}, '${ada.id}', 'too late'), (${++id}, '${bob.id}', 'end')`)
  await heard.one(([, { title }]) => title === 'end')
  assert.ok(!titles(heard).some((title) => title.endsWith('too late')))
})

test('what cannot be followed is said, with the reason', async () => {
  const reason = async (filter) => {
    const { said } = await following(listener(server), filter)
    return said.one(({ extension, status }) => extension === 'postgres_changes' && status === 'error')
  }
  const unable = /^Unable to subscribe to changes with given parameters. Please check Realtime is enabled/
  assert.match((await reason({ table: 'members' })).message, unable)
  assert.match((await reason({ schema: 'auth', table: 'users' })).message, unable)
  assert.equal((await reason({ table: 'board', filter: 'colour=eq.red' })).message, 'invalid column for filter colour')
  assert.match((await reason({ table: 'board', filter: 'size' })).message, /^Error parsing `filter` params/)
})

test('the secret key hears of every row', async () => {
  const { heard } = await following(closedLater(admin(server)), { table: 'secrets' })
  const { heard: atAda } = await following(ada.client, { table: 'secrets' })
  await sql.query('insert into secrets values (1)')
  await heard.exactly(1)
  assert.deepEqual(atAda.all, [])
})

test('who is told that a table was emptied reads anew', async () => {
  const { heard, said } = await following(listener(server), { table: 'board' })
  await sql.query('truncate board')
  const told = await said.one(({ message }) => message === 'resync')
  assert.deepEqual([told.reason, told.schema, told.table], ['truncate', 'public', 'board'])
  assert.deepEqual(heard.all, [])
})
