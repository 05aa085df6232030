// npm oauth4webapi through the life of a session: discovery, refresh, validation, introspection, revocation.
import * as oauth from 'oauth4webapi';
import { refusal, task, tell, watched } from './kit.mjs';

const options = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: watched };
const url = new URL(task.issuer);
const client = { client_id: task.client_id };
const methods = {
  client_secret_basic: oauth.ClientSecretBasic,
  client_secret_post: oauth.ClientSecretPost,
  none: oauth.None,
};
const proof = methods[task.method](task.client_secret);
const bearer = (token) => (_as, _client, _body, headers) => headers.set('authorization', `Bearer ${token}`);

const discovered = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...options });
const as = await oauth.processDiscoveryResponse(url, discovered);

const refresh = async (token, how = proof, who = client) => oauth.processRefreshTokenResponse(
  as, who, await oauth.refreshTokenGrantRequest(as, who, how, token, options));
const introspect = async (token, how) => oauth.processIntrospectionResponse(
  as, client, await oauth.introspectionRequest(as, client, how, token, options));
const revoke = async (token, more = {}, how = proof, who = client) => oauth.processRevocationResponse(
  await oauth.revocationRequest(as, who, how, token, { ...options, additionalParameters: more }));
const validate = (token, algorithms = [task.alg]) => oauth.validateJwtAccessToken(
  as, new Request(task.audience, { headers: { authorization: `Bearer ${token}` } }), task.audience,
  { ...options, signingAlgorithms: algorithms });

const tokens = await refresh(task.refresh_token);
const asks = task.method === 'none' ? bearer(tokens.access_token) : proof;
const found = {
  metadata: as,
  tokens,
  claims: await validate(tokens.access_token),
  first_claims: await validate(task.access_token),
  retry: await refresh(task.refresh_token),
  access: await introspect(tokens.access_token, asks),
  refresh: await introspect(tokens.refresh_token, asks),
  spent: await introspect(task.refresh_token, asks),
  garbage: await introspect('garbage', asks),
  refresh_as_access: await refusal(validate(tokens.refresh_token, undefined)),
  access_as_refresh: await refusal(refresh(tokens.access_token)),
};
if (task.method !== 'none') {
  const own = await oauth.processClientCredentialsResponse(
    as, client, await oauth.clientCredentialsGrantRequest(as, client, proof, { scope: 'read' }, options));
  found.own = { tokens: own, claims: await validate(own.access_token) };
  const wrong = methods[task.method](`${task.client_secret}!`);
  found.wrong_secret = await refusal(refresh(tokens.refresh_token, wrong));
  found.wrong_secret_revokes = await refusal(revoke(tokens.refresh_token, {}, wrong));
  found.wrong_secret_introspects = await refusal(introspect(tokens.access_token, wrong));
}
await revoke('garbage');
await revoke('garbage', { token_type_hint: 'unheard_of' });
await revoke(tokens.access_token, { token_type_hint: 'refresh_token' });
found.revoked_access = await introspect(tokens.access_token, asks).catch((error) => error.name);
found.still_alive = (await refresh(tokens.refresh_token)).token_type;
await revoke(tokens.refresh_token, { token_type_hint: 'refresh_token' });
found.revoked = await refusal(refresh(tokens.refresh_token));
if (task.method !== 'none') found.afterwards = await introspect(tokens.refresh_token, proof);
tell(found);
