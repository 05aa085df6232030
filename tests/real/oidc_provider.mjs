// node oidc_provider.mjs ALG [PATH [DOCUMENTS]]: npm oidc-provider on a free port of 127.0.0.1, gone when stdin closes.
// DOCUMENTS: which discovery documents there are, of "oauth,openid". One JSON line on stdout says that it is ready.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [alg, path = '', documents = 'oauth,openid'] = process.argv.slice(2);
const client = { id: 'machine-1', secret: randomBytes(32).toString('base64url') };
const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519'],
};
const { privateKey } = generateKeyPairSync(...kinds[alg]);
const jwk = { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomBytes(8).toString('hex') };

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${server.address().port}`;
const issuer = origin + path;

const provider = new Provider(issuer, {
  clients: [{
    client_id: client.id,
    client_secret: client.secret,
    grant_types: ['client_credentials'],
    id_token_signed_response_alg: alg,
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
  }],
  cookies: { keys: [randomBytes(32).toString('hex')] },
  enabledJWA: { idTokenSigningAlgValues: [alg] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: 'read write',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg } },
      }),
    },
  },
  jwks: { keys: [jwk] },
  scopes: ['read', 'write'],
  ttl: { ClientCredentials: 600 },
});

// RFC 8414 section 3.1 inserts the well-known segment before the issuer's path, OpenID Discovery appends it.
const inner = { oauth: '/.well-known/oauth-authorization-server', openid: '/.well-known/openid-configuration' };
const outer = { oauth: inner.oauth + path, openid: path + inner.openid };
const served = new Map(documents.split(',').map((name) => [outer[name], inner[name]]));
const handle = provider.callback();
server.on('request', (request, response) => {
  const local = request.url.startsWith(`${path}/`) ? request.url.slice(path.length) : null;
  const target = served.get(request.url) ?? (local?.startsWith('/.well-known/') ? null : local);
  if (target === null) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = path + target;
  request.url = target;
  handle(request, response);
});

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({
  issuer, token_endpoint: provider.urlFor('token'), client_id: client.id, client_secret: client.secret,
}));
