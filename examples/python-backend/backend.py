"""A backend that acts as the user whose API key it is shown.

GET /notes with the header X-Api-Key: the key is verified by this backend's own service key, exchanged for a short access
token, and the notes are read with that token, so that PostgreSQL's row-level security decides which rows there are.
"""
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from postgrest.exceptions import APIError
from supabase import create_client

URL = os.environ['GOFORWARD_URL'].rstrip('/')
ANON_KEY = os.environ['GOFORWARD_ANON_KEY']
SERVICE_KEY = os.environ['GOFORWARD_SERVICE_KEY']   # gf_service_..., never the project's secret key
PORT = int(os.environ.get('PORT', '8000'))

auth = httpx.Client(base_url=f'{URL}/auth/v1', headers={'Authorization': f'Bearer {SERVICE_KEY}'}, timeout=30)


class Refused(Exception):
    """The key does not let its holder do this."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def ask(path, key, address):
    """The address lets the server hold the key to its allow-list: it sees only this backend's."""
    answer = auth.post(path, json={'key': key, 'ip': address})
    if answer.status_code == 401:
        raise Refused(401, 'This API key is not accepted')
    answer.raise_for_status()   # anything else is this backend's fault, or the server's
    return answer.json()


def notes_of(key, address):
    """Who holds the key, and the notes that they may see."""
    who = ask('/keys/verify', key, address)
    if who['user'] is None:
        raise Refused(401, 'This API key is no user\'s')
    token = ask('/keys/exchange', key, address)['access_token']
    client = create_client(URL, ANON_KEY)
    client.postgrest.auth(token)
    try:
        rows = client.table('notes').select('id,text').order('id').execute().data
    except APIError as error:
        if error.code == 'insufficient_scope':
            raise Refused(403, 'This API key is not for notes') from error
        raise
    return {'user': who['user']['email'], 'notes': rows}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != '/notes':
            return self.answer(404, {'message': 'There is GET /notes'})
        try:
            self.answer(200, notes_of(self.headers.get('X-Api-Key', ''), self.client_address[0]))
        except Refused as refused:
            self.answer(refused.status, {'message': str(refused)})
        except (httpx.HTTPError, APIError):
            self.log_error('the server cannot be asked')
            self.answer(502, {'message': 'Try again later'})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == '__main__':
    with ThreadingHTTPServer(('127.0.0.1', PORT), Handler) as server:
        print(f'listening on {server.server_address[1]}', flush=True)
        server.serve_forever()
