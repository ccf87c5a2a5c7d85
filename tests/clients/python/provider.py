"""An identity provider for the tests (OpenID Connect): whoever comes is signed in at once as its present user."""
import base64, hashlib, http.server, json, threading, time, urllib.parse, uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = 'our-app', 'the secret of our app'


class Provider:

    def __init__(self, user):
        self.user, self.codes = user, {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), type('Handler', (Handler,), {'provider': self}))
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def id_token(self, nonce=None):
        now = int(time.time())
        claims = {'iss': self.url, 'aud': CLIENT_ID, 'iat': now, 'exp': now + 300} | ({'nonce': nonce} if nonce else {}) | self.user
        return jwt.encode(claims, self.key, algorithm='RS256', headers={'kid': 'one'})

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    provider = None

    def do_GET(self):
        provider, asked = self.provider, urllib.parse.urlparse(self.path)
        if asked.path == '/authorize':
            query, code = dict(urllib.parse.parse_qsl(asked.query)), str(uuid.uuid4())
            provider.codes[code] = query
            back = urllib.parse.urlencode({'code': code, 'state': query['state']})
            self.send_response(302)
            self.send_header('location', query['redirect_uri'] + ('&' if '?' in query['redirect_uri'] else '?') + back)
            self.end_headers()
        elif asked.path == '/keys':
            key = RSAAlgorithm.to_jwk(provider.key.public_key(), as_dict=True)
            self.answer({'keys': [key | {'kid': 'one', 'alg': 'RS256', 'use': 'sig'}]})
        elif asked.path == '/userinfo':
            self.answer(provider.user)
        else:
            self.answer({'issuer': provider.url, 'authorization_endpoint': provider.url + '/authorize',
                         'token_endpoint': provider.url + '/token', 'jwks_uri': provider.url + '/keys',
                         'userinfo_endpoint': provider.url + '/userinfo', 'response_types_supported': ['code'],
                         'subject_types_supported': ['public'], 'id_token_signing_alg_values_supported': ['RS256']})

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers['content-length'])).decode()))
        begun = self.provider.codes.pop(form.get('code'), None)
        digest = hashlib.sha256(form.get('code_verifier', '').encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b'=').decode()
        if begun is None or begun.get('code_challenge', shown) != shown:
            return self.answer({'error': 'invalid_grant'}, 400)
        self.answer({'access_token': 'token of the provider', 'refresh_token': 'refresh token of the provider',
                     'token_type': 'bearer', 'expires_in': 3600, 'id_token': self.provider.id_token(begun.get('nonce'))})

    def answer(self, body, status=200):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass
