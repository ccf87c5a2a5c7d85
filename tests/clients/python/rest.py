"""What an application does with tables and functions."""
import time, unittest

import psycopg
from postgrest.exceptions import APIError
from supabase import create_client

from server import ROOT, Server


class Rest(unittest.TestCase):
    """Every test restores what it changes; none depends on another."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        schema = (ROOT / 'tests/clients/node/schema.sql').read_text(encoding='utf-8')
        with psycopg.connect(cls.server.keys['database_url'], autocommit=True) as connection:
            connection.execute(schema)
        cls.anon = create_client(cls.server.url, cls.server.keys['anon_key'])
        cls.service = create_client(cls.server.url, cls.server.keys['service_role_key'])
        deadline = time.monotonic() + 30
        while True:
            try:
                cls.service.table('notes').select('*').limit(1).execute()
                break
            except APIError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def test_rows_are_read_with_filters_order_and_limit(self):
        rows = self.anon.table('books').select('title,pages').gt('pages', 190).order('pages', desc=True).limit(2).execute().data
        self.assertEqual(rows, [{'title': 'The Dispossessed', 'pages': 387}, {'title': 'The Cyberiad', 'pages': 295}])

    def test_every_kind_of_filter_finds_its_rows(self):
        def ids(refine):
            return [row['id'] for row in refine(self.anon.table('authors').select('id')).order('id').execute().data]

        self.assertEqual(ids(lambda q: q.eq('name', 'Ursula')), [1])
        self.assertEqual(ids(lambda q: q.neq('name', 'Ursula')), [2, 3])
        self.assertEqual(ids(lambda q: q.in_('id', [1, 3])), [1, 3])
        self.assertEqual(ids(lambda q: q.is_('born', 'null')), [3])
        self.assertEqual(ids(lambda q: q.ilike('name', '%SUL%')), [1])
        self.assertEqual(ids(lambda q: q.contains('tags', ['sf'])), [1, 2])
        self.assertEqual(ids(lambda q: q.overlaps('tags', ['fantasy'])), [1])
        self.assertEqual(ids(lambda q: q.or_('name.eq.Nobody,born.lt.1925-01-01')), [2, 3])
        self.assertEqual(ids(lambda q: q.eq('profile->home->>city', 'Kraków')), [2])

    def test_related_rows_are_embedded(self):
        row = self.anon.table('authors').select('name,books(title,genres(name))').eq('id', 1).order('title', foreign_table='books').single().execute().data
        self.assertEqual(row, {'name': 'Ursula', 'books': [
            {'title': 'The Dispossessed', 'genres': [{'name': 'science fiction'}]},
            {'title': 'The Lathe of Heaven', 'genres': [{'name': 'science fiction'}]}]})
        one = self.anon.table('books').select('title,authors(name)').eq('id', 3).single().execute().data
        self.assertEqual(one, {'title': 'Solaris', 'authors': {'name': 'Stanisław'}})

    def test_counts_come_with_rows_or_alone(self):
        answer = self.anon.table('books').select('id', count='exact').range(0, 1).execute()
        self.assertEqual((len(answer.data), answer.count), (2, 4))
        self.assertEqual(self.anon.table('books').select('*', count='exact', head=True).execute().count, 4)

    def test_single_and_maybe_single(self):
        self.assertEqual(self.anon.table('genres').select('*').eq('id', 1).single().execute().data, {'id': 1, 'name': 'science fiction'})
        with self.assertRaises(APIError) as caught:
            self.anon.table('genres').select('*').eq('id', 99).single().execute()
        self.assertEqual(caught.exception.code, 'PGRST116')
        self.assertIsNone(self.anon.table('genres').select('*').eq('id', 99).maybe_single().execute())

    def test_rows_come_as_csv(self):
        text = self.anon.table('genres').select('id,name').order('id').csv().execute().data
        self.assertEqual(text.split('\n'), ['id,name', '1,"science fiction"', '2,satire'])

    def test_rows_are_inserted_changed_and_deleted(self):
        inserted = self.service.table('books').insert({'author_id': 3, 'title': 'Untitled', 'pages': 1}).execute().data[0]
        changed = self.service.table('books').update({'pages': 2}).eq('id', inserted['id']).execute().data
        gone = self.service.table('books').delete().eq('id', inserted['id']).execute().data
        self.assertEqual(changed[0]['pages'], 2)
        self.assertEqual(gone[0]['id'], inserted['id'])
        self.assertEqual(self.anon.table('books').select('id', count='exact').execute().count, 4)

    def test_many_rows_are_inserted_all_or_none(self):
        with self.assertRaises(APIError) as caught:
            self.service.table('genres').insert([{'id': 10, 'name': 'a'}, {'id': 1, 'name': 'taken'}]).execute()
        self.assertEqual(caught.exception.code, '23505')
        self.assertEqual(self.anon.table('genres').select('id').eq('id', 10).execute().data, [])

    def test_upsert_merges_or_leaves_what_is_there(self):
        self.service.table('genres').insert({'id': 20, 'name': 'old'}).execute()
        merged = self.service.table('genres').upsert({'id': 20, 'name': 'new'}).execute().data
        ignored = self.service.table('genres').upsert({'id': 20, 'name': 'newer'}, ignore_duplicates=True).execute().data
        by_name = self.service.table('authors').upsert({'name': 'Nobody', 'tags': ['x']}, on_conflict='name').execute().data
        self.service.table('genres').delete().eq('id', 20).execute()
        self.service.table('authors').update({'tags': []}).eq('id', 3).execute()
        self.assertEqual(merged, [{'id': 20, 'name': 'new'}])
        self.assertEqual(ignored, [])
        self.assertEqual((by_name[0]['id'], by_name[0]['tags']), (3, ['x']))

    def test_functions_are_called_with_filters_on_their_rows(self):
        self.assertEqual(self.anon.rpc('add', {'a': 2, 'b': 3}).execute().data, 5)
        self.assertEqual(self.anon.rpc('add', {'a': 2, 'b': 3}, get=True).execute().data, 5)
        rows = self.anon.rpc('books_longer_than', {'minimum': 200}).select('title').lt('pages', 300).order('title').execute().data
        self.assertEqual(rows, [{'title': 'Solaris'}, {'title': 'The Cyberiad'}])

    def test_errors_arrive_whole(self):
        with self.assertRaises(APIError) as caught:
            self.anon.rpc('fail_politely').execute()
        error = caught.exception
        self.assertEqual((error.code, error.message, error.details, error.hint), ('P0001', 'no luck today', 'the detail', 'the hint'))
        for request, code in [
            (self.anon.table('books').select('nope'), '42703'),
            (self.anon.table('nope').select('*'), 'PGRST205'),
            (self.anon.table('books').select('*,nope(*)'), 'PGRST200'),
            (self.anon.rpc('nope'), 'PGRST202'),
            (self.anon.table('unprotected').select('*'), '42501'),
        ]:
            with self.subTest(code), self.assertRaises(APIError) as caught:
                request.execute()
            self.assertEqual(caught.exception.code, code)
