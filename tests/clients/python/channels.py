"""Realtime with the asynchronous client, which speaks protocol 1.0.0: broadcast, presence, changes of tables, private channels."""
import asyncio, json, logging, time, unittest

from realtime import RealtimeSubscribeStates
from supabase import acreate_client

from people import People

# That SQL and mails block the loop is no news.
logging.getLogger('asyncio').setLevel(logging.ERROR)

TABLES = '''
    create table notes (id int primary key, owner uuid not null default auth.uid(), title text);
    alter table notes enable row level security;
    create policy own on notes to authenticated using (owner = (select auth.uid())) with check (true);
    alter publication supabase_realtime add table notes;
    create table members (room text, uid uuid, writes boolean);
    alter table members enable row level security;
    create policy own on members for select to authenticated using (uid = (select auth.uid()));
    create policy hear on realtime.messages for select to authenticated using (
      exists (select from members where room = realtime.topic() and uid = (select auth.uid())));
    create policy say on realtime.messages for insert to authenticated with check (
      exists (select from members where room = realtime.topic() and uid = (select auth.uid()) and writes))'''


async def until(holds, what='it'):
    """Waits until something holds; returns what it gives."""
    deadline = time.monotonic() + 30
    while not (given := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f'{what} did not come about')
        await asyncio.sleep(0.01)
    return given


class Channels(People, unittest.IsolatedAsyncioTestCase):
    settings = {'realtime.presence_calls': '1000'}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql.execute(TABLES)

    async def listener(self, token=None):
        """A client, of a user if a token is given."""
        client = await acreate_client(self.server.url, self.server.keys['anon_key'])
        self.addAsyncCleanup(client.realtime.close)
        if token:
            await client.realtime.set_auth(token)
        return client

    def user(self, name):
        """A new user's id and token."""
        _, session = self.member(f'{name}@channels.example.com')
        return session.user.id, session.access_token

    async def joined(self, channel):
        """Joins; fails with the reason that the client is told."""
        told = await self.told(channel)
        self.assertEqual(told, (RealtimeSubscribeStates.SUBSCRIBED, None))
        return channel

    async def told(self, channel):
        """What becomes of a join: the state and the reason. After what passes a client joins again by itself."""
        states = []

        def tell(state, error):
            reason = error and json.loads(str(error))
            passes = reason and reason.get('reason', '').startswith('UnableToConnectToProject:')
            if state != RealtimeSubscribeStates.TIMED_OUT and not passes:
                states.append((state, reason))

        await channel.subscribe(tell)
        return await until(lambda: states and states[0], 'an answer')

    async def exactly(self, heard, count):
        await until(lambda: len(heard) >= count, f'{count} events, there are {heard},')
        self.assertEqual(len(heard), count, heard)
        return heard

    async def test_others_hear_a_broadcast_and_the_sender_where_it_asks_for_it(self):
        heard, own = [], []
        speaks = (await self.listener()).channel('room', {'config': {'broadcast': {'ack': True, 'self': True}}})
        hears = (await self.listener()).channel('room')
        speaks.on_broadcast('*', own.append)
        hears.on_broadcast('greeting', heard.append)
        await self.joined(speaks)
        await self.joined(hears)
        await speaks.send_broadcast('greeting', {'text': 'grüß dich'})
        for message in [*await self.exactly(heard, 1), *await self.exactly(own, 1)]:
            self.assertEqual((message['event'], message['payload']), ('greeting', {'text': 'grüß dich'}))
        await hears.http_send('greeting', {'text': 'by HTTP'})
        self.sql.execute("select realtime.send('{\"text\": \"by SQL\"}', 'greeting', 'room', false)")
        await self.exactly(heard, 3)
        self.assertEqual([message['payload']['text'] for message in heard[1:]], ['by HTTP', 'by SQL'])
        self.assertEqual(heard[2]['meta']['id'], heard[2]['payload']['id'])

    async def test_everybody_sees_who_comes_changes_and_goes(self):
        def mood(channel):
            return {key: [presence['mood'] for presence in presences] for key, presences in channel.presence_state().items()}

        clients = [await self.listener() for _ in range(2)]
        ada, bob = (client.channel('hall', {'config': {'presence': {'key': key, 'enabled': True}}})
                    for client, key in zip(clients, ('ada', 'bob')))
        joins, leaves = [], []
        bob.on_presence_join(lambda key, current, new: joins.append(key))
        bob.on_presence_leave(lambda key, current, left: leaves.append(key))
        await self.joined(ada)
        await self.joined(bob)
        await ada.track({'mood': 'fine'})
        await until(lambda: mood(bob) == {'ada': ['fine']}, 'one')
        await bob.track({'mood': 'tired'})
        for channel in (ada, bob):
            await until(lambda: mood(channel) == {'ada': ['fine'], 'bob': ['tired']}, 'both')
        await ada.track({'mood': 'cross'})
        await until(lambda: mood(bob) == {'ada': ['cross'], 'bob': ['tired']}, 'a change')
        await ada.untrack()
        await until(lambda: mood(bob) == {'bob': ['tired']}, 'leaving')
        self.assertEqual((joins, leaves), (['ada', 'bob', 'ada'], ['ada', 'ada']))
        await clients[1].realtime.close()
        await until(lambda: mood(ada) == {}, 'a lost connection')

    async def test_of_two_users_each_hears_of_the_own_rows(self):
        users, heard = {name: self.user(name) for name in ('ann', 'ben')}, {'ann': [], 'ben': [], 'nobody': []}
        for name, events in heard.items():
            client = await self.listener(users[name][1] if name in users else None)
            channel = client.channel('changes')
            channel.on_postgres_changes('*', events.append, table='notes', schema='public')
            await self.joined(channel)
        (ann, _), (ben, _) = users.values()
        self.sql.execute(f"insert into notes values (1, '{ann}', 'a'), (2, '{ben}', 'b')")
        self.sql.execute("update notes set title = title || '!'")
        self.sql.execute(f"update notes set owner = '{ben}' where id = 1")
        self.sql.execute('delete from notes')

        def seen(events):
            rows = [(event['data']['type'].value, event['data'].get('record') or event['data']['old_record']) for event in events]
            return [f"{kind} {row['id']} {row.get('title', '')}".strip() for kind, row in rows]

        await self.exactly(heard['ann'], 3)
        await self.exactly(heard['ben'], 5)
        self.assertEqual(seen(heard['ann']), ['INSERT 1 a', 'UPDATE 1 a!', 'DELETE 1'])
        self.assertEqual(seen(heard['ben']), ['INSERT 2 b', 'UPDATE 2 b!', 'UPDATE 1 a!', 'DELETE 2', 'DELETE 1'])
        self.assertEqual(heard['nobody'], [])

    async def test_filters_and_selections_narrow_what_is_heard(self):
        owner, token = self.user('cleo')
        heard = []
        channel = (await self.listener(token)).channel('narrow')
        channel.on_postgres_changes('INSERT', heard.append, table='notes', schema='public', filter='title=like.a%', select=['title'])
        await self.joined(channel)
        self.sql.execute(f"insert into notes values (10, '{owner}', 'b'), (11, '{owner}', 'ab')")
        await self.exactly(heard, 1)
        self.assertEqual(heard[0]['data']['record'], {'id': 11, 'title': 'ab'})

    async def test_what_cannot_be_followed_is_told(self):
        states = []
        channel = (await self.listener()).channel('nothing')
        channel.on_postgres_changes('*', print, table='members', schema='public')
        await channel.subscribe(lambda state, error: states.append((state, str(error))))
        errors = await until(lambda: [error for state, error in states if state == RealtimeSubscribeStates.CHANNEL_ERROR], 'the reason')
        self.assertIn('Please check Realtime is enabled', errors[0])

    async def test_a_private_channel_is_for_members(self):
        owner, token = self.user('dora')
        self.sql.execute(f"insert into members values ('kitchen', '{owner}', true)")
        private = {'config': {'private': True, 'broadcast': {'ack': False, 'self': True}, 'presence': {'key': '', 'enabled': False}}}
        state, reason = await self.told((await self.listener()).channel('kitchen', private))
        self.assertEqual((state, reason), (RealtimeSubscribeStates.CHANNEL_ERROR, {
            'reason': 'Unauthorized: You do not have permissions to read from this Channel topic: kitchen'}))
        heard = []
        channel = (await self.listener(token)).channel('kitchen', private)
        channel.on_broadcast('*', heard.append)
        await self.joined(channel)
        await channel.send_broadcast('soup', {'hot': True})
        await self.exactly(heard, 1)
        self.sql.execute("select realtime.send('{}', 'bread', 'kitchen')")
        await self.exactly(heard, 2)
        self.assertEqual([message['event'] for message in heard], ['soup', 'bread'])

    async def test_another_token_ends_what_its_user_may_not_hear(self):
        owner, token = self.user('elsa')
        _, other = self.user('fred')
        self.sql.execute(f"insert into members values ('attic', '{owner}', true)")
        client, states = await self.listener(token), []
        channel = client.channel('attic', {'config': {'private': True, 'broadcast': {'ack': False, 'self': False}}})
        await channel.subscribe(lambda state, error: states.append(state))
        await until(lambda: RealtimeSubscribeStates.SUBSCRIBED in states, 'a join')
        await client.realtime.set_auth(other)
        await until(lambda: RealtimeSubscribeStates.CLOSED in states, 'the end')
