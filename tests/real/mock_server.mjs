// node mock_server.mjs ALG: npm oauth2-mock-server on a free port of 127.0.0.1, gone when stdin closes.
// The `resource` of a token request becomes the audience; without one the token has none.
import { OAuth2Server } from 'oauth2-mock-server';

const server = new OAuth2Server();
await server.issuer.keys.generate(process.argv[2]);
server.service.on('beforeTokenSigning', (token, request) => {
  if (request.body.resource) token.payload.aud = request.body.resource;
});
await server.start(0, '127.0.0.1');

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer: server.issuer.url, token_endpoint: `${server.issuer.url}/token` }));
