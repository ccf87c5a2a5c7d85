// realtime-js, unmodified: who is there. It is newer here than the one in supabase-js 2.109, which keeps presences that have left
// where several have one key, or one changes (supabase-js issue 2565).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { RealtimeClient } from '@supabase/realtime-js'
import { Heard, Line, broadcasts, closeAll, closedLater, quick, startRealtime, subscribed, until } from './realtime.js'

let running, server

before(async () => {
  running = await startRealtime()
  server = running.server
  await running.sql.query(`
    create policy hear on realtime.messages for select using (realtime.topic() = 'gallery');
    create policy say on realtime.messages for insert with check (extension = 'broadcast')`)
})

after(async () => {
  closeAll()
  await running?.stop()
})

/** A visitor of a topic, with a key if one is given: { channel, events } */
async function visitor(topic, key = '', { line, config } = {}) {
  const realtime = new RealtimeClient(`${server.url}/realtime/v1`, { params: { apikey: server.keys.anon_key }, ...quick(line).realtime })
  const channel = closedLater({ realtime }).realtime.channel(topic, { config: { presence: { key }, ...config } })
  const events = new Heard()
  channel
    .on('presence', { event: 'sync' }, () => events.add('sync'))
    .on('presence', { event: 'join' }, ({ key, newPresences }) => events.add(['join', key, newPresences.map(bare)]))
    .on('presence', { event: 'leave' }, ({ key, leftPresences }) => events.add(['leave', key, leftPresences.map(bare)]))
  await subscribed(channel)
  await events.one((event) => event === 'sync')
  return { channel, events }
}

/** What was tracked, without the reference that the server gives it. */
function bare({ presence_ref, ...tracked }) {
  assert.match(presence_ref, /./)
  return tracked
}

/** Who is there, by key. */
const state = ({ channel }) => Object.fromEntries(
  Object.entries(channel.presenceState()).map(([key, metas]) => [key, metas.map(bare)]))

/** Waits until everybody sees the same. */
const allSee = (visitors, expected) => until(() => visitors.every((visitor) => {
  try {
    assert.deepEqual(state(visitor), expected)
    return true
  } catch {
    return false
  }
}), `${JSON.stringify(expected)}, there is ${JSON.stringify(visitors.map(state))}`)

test('everybody sees who comes, changes and goes, also who comes late', async () => {
  const ada = await visitor('hall', 'ada')
  assert.deepEqual(state(ada), {})
  assert.equal(await ada.channel.track({ mood: 'fine' }), 'ok')
  const bob = await visitor('hall', 'bob')
  await allSee([ada, bob], { ada: [{ mood: 'fine' }] })

  await bob.channel.track({ mood: 'tired' })
  await allSee([ada, bob], { ada: [{ mood: 'fine' }], bob: [{ mood: 'tired' }] })
  await bob.channel.track({ mood: 'awake' })
  await allSee([ada, bob], { ada: [{ mood: 'fine' }], bob: [{ mood: 'awake' }] })
  await bob.channel.untrack()
  await allSee([ada, bob], { ada: [{ mood: 'fine' }] })

  const told = ada.events.all.filter((event) => event !== 'sync' && event[1] === 'bob')
  assert.deepEqual(told, [
    ['join', 'bob', [{ mood: 'tired' }]],
    ['join', 'bob', [{ mood: 'awake' }]], ['leave', 'bob', [{ mood: 'tired' }]],
    ['leave', 'bob', [{ mood: 'awake' }]]])
})

test('tracking the same again tells nobody', async () => {
  const [ada, bob] = [await visitor('quiet', 'ada'), await visitor('quiet', 'bob')]
  await ada.channel.track({ at: 1 })
  await ada.channel.track({ at: 1 })
  await ada.channel.track({ at: 2 })
  await allSee([ada, bob], { ada: [{ at: 2 }] })
  assert.deepEqual(bob.events.all.filter(([kind]) => kind === 'join'), [['join', 'ada', [{ at: 1 }]], ['join', 'ada', [{ at: 2 }]]])
})

test('two clients with one key are two presences of it', async () => {
  const [desk, phone, bob] = [await visitor('flat', 'ada'), await visitor('flat', 'ada'), await visitor('flat', 'bob')]
  await desk.channel.track({ on: 'desk' })
  await phone.channel.track({ on: 'phone' })
  await until(() => state(bob).ada?.length === 2)
  assert.deepEqual(state(bob).ada.map(({ on }) => on).sort(), ['desk', 'phone'])
  await desk.channel.unsubscribe()
  await allSee([phone, bob], { ada: [{ on: 'phone' }] })
})

test('without a key each client has one of its own', async () => {
  const [one, other] = [await visitor('crowd'), await visitor('crowd')]
  await one.channel.track({ n: 1 })
  await other.channel.track({ n: 2 })
  await until(() => Object.keys(state(one)).length === 2)
  for (const key of Object.keys(state(one))) assert.match(key, /^[0-9a-f-]{36}$/)
})

test('who loses the connection is gone', async () => {
  const line = new Line()
  const ada = await visitor('street', 'ada', { line })
  const bob = await visitor('street', 'bob')
  await ada.channel.track({ here: true })
  await allSee([bob], { ada: [{ here: true }] })
  line.cut()
  await allSee([bob], {})
})

test('a private channel may let hear without letting track', async () => {
  const ada = await visitor('gallery', 'ada', { config: { private: true, broadcast: { self: true } } })
  const heard = broadcasts(ada.channel)
  assert.equal(await ada.channel.track({ here: true }), 'error')
  await ada.channel.send({ type: 'broadcast', event: 'hello', payload: {} })
  await heard.exactly(1)
  assert.deepEqual(state(ada), {})
})
