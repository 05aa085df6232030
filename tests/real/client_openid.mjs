// npm openid-client through the life of a session: discovery, refresh, introspection, revocation.
import * as client from 'openid-client';
import { refusal, task, tell, watched } from './kit.mjs';

const methods = {
  client_secret_basic: client.ClientSecretBasic,
  client_secret_post: client.ClientSecretPost,
  none: client.None,
};
const discover = (proof) => client.discovery(new URL(task.issuer), task.client_id, undefined, proof, {
  algorithm: 'oauth2', execute: [client.allowInsecureRequests], [client.customFetch]: watched,
});
const config = await discover(methods[task.method](task.client_secret));
const metadata = config.serverMetadata();

const tokens = await client.refreshTokenGrant(config, task.refresh_token);
const bearer = await discover((_as, _client, _body, headers) => {
  headers.set('authorization', `Bearer ${tokens.access_token}`);
});
const asks = task.method === 'none' ? bearer : config;
const found = {
  metadata,
  tokens,
  expires_in: tokens.expiresIn(),
  narrowed: await client.refreshTokenGrant(config, task.refresh_token, { scope: 'read', resource: task.audience }),
  access: await client.tokenIntrospection(asks, tokens.access_token),
  refresh: await client.tokenIntrospection(asks, tokens.refresh_token, { token_type_hint: 'refresh_token' }),
  by_bearer: await client.tokenIntrospection(bearer, tokens.access_token),
  garbage: await client.tokenIntrospection(asks, 'garbage', { token_type_hint: 'unheard_of' }),
  wider: await refusal(client.refreshTokenGrant(config, tokens.refresh_token, { scope: 'read admin' })),
  other_grant: await refusal(client.genericGrantRequest(config, 'urn:example:grant', { thing: 'x' })),
};
if (task.method !== 'none') {
  found.own = await client.clientCredentialsGrant(config, { scope: 'read', resource: task.audience });
  const wrong = await discover(methods[task.method](`${task.client_secret}!`));
  found.wrong_secret = await refusal(client.clientCredentialsGrant(wrong));
}
await client.tokenRevocation(config, 'garbage', { token_type_hint: 'unheard_of' });
await client.tokenRevocation(config, tokens.refresh_token, { token_type_hint: 'refresh_token' });
found.revoked = await refusal(client.refreshTokenGrant(config, tokens.refresh_token));
if (task.method !== 'none') found.afterwards = await client.tokenIntrospection(config, tokens.access_token);
tell(found);
