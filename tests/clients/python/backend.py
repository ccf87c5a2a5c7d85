"""The example of a backend (examples/python-backend), run as it is, with keys of two users."""
import json, os, subprocess, sys, urllib.error, urllib.request

import httpx

from people import People
from server import ROOT, free_port

EXAMPLE = ROOT / 'examples/python-backend/backend.py'
TABLE = '''
    create table notes (id bigint generated always as identity primary key, owner uuid not null default auth.uid(), text text);
    alter table notes enable row level security;
    grant select, insert on notes to authenticated;
    create policy own on notes to authenticated using (owner = auth.uid()) with check (owner = auth.uid())'''


class Backend(People):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql.execute(TABLE)
        secret = cls.server.keys['service_role_key']
        service = cls.key(secret, {'name': 'notes backend', 'kind': 'service', 'scopes': ['auth:keys:execute']}, secret)
        cls.service = service
        cls.port = free_port()
        env = os.environ | {'GOFORWARD_URL': cls.server.url, 'GOFORWARD_ANON_KEY': cls.server.keys['anon_key'],
                            'GOFORWARD_SERVICE_KEY': service, 'PORT': str(cls.port)}
        cls.process = subprocess.Popen([sys.executable, EXAMPLE], env=env, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
        cls.addClassCleanup(cls.process.stdout.close)
        cls.addClassCleanup(cls.process.wait)
        cls.addClassCleanup(cls.process.terminate)
        assert cls.process.stdout.readline() == f'listening on {cls.port}\n'

    @classmethod
    def key(cls, token, wish, apikey=None):
        headers = {'apikey': apikey or cls.server.keys['anon_key'], 'Authorization': f'Bearer {token}'}
        answer = httpx.post(f'{cls.server.url}/auth/v1/keys', json=wish, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()['key']

    def notes(self, key):
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}/notes', headers={'X-Api-Key': key})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            return answer.code, json.load(answer)

    def test_every_user_gets_the_rows_of_their_own_key(self):
        keys = {}
        for name in ('ada', 'eve'):
            client, session = self.member(f'{name}@keys.example.com')
            self.served(client, 'notes')
            client.table('notes').insert({'text': f'of {name}'}).execute()
            keys[name] = self.key(session.access_token, {'name': 'laptop', 'kind': 'personal',
                                                         'scopes': ['rest:public.notes:select']})

        for name, key in keys.items():
            status, answer = self.notes(key)
            self.assertEqual((status, answer['user']), (200, f'{name}@keys.example.com'), answer)
            self.assertEqual([note['text'] for note in answer['notes']], [f'of {name}'])

    def test_a_key_that_is_wrong_for_other_tables_or_for_other_networks_is_refused(self):
        _, session = self.member('bob@keys.example.com')

        def with_(**more):
            return self.notes(self.key(session.access_token, {'name': 'k', 'kind': 'personal'} | more))[0]

        self.assertEqual(self.notes('nonsense')[0], 401)
        self.assertEqual(self.notes(self.service)[0], 401)
        self.assertEqual(with_(scopes=['rest:public.others:select']), 403)
        self.assertEqual(with_(ip_allowlist=['192.0.2.0/24']), 401)
        self.assertEqual(with_(ip_allowlist=['127.0.0.0/8']), 200)
