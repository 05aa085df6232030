// npm jose as a resource server, its keys where the metadata says.
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import { refusal, task, tell, watched } from './kit.mjs';

const { issuer, jwks_uri } = await (await watched(task.metadata)).json();
const keys = createRemoteJWKSet(new URL(jwks_uri), { [customFetch]: watched });
const verify = (token, more = {}) => jwtVerify(token, keys, {
  issuer,
  audience: task.audience,
  algorithms: [task.alg],
  typ: 'at+jwt',
  requiredClaims: ['sub', 'client_id', 'jti', 'iat', 'exp', 'aud'],
  maxTokenAge: '1h',
  ...more,
});
const good = await verify(task.access_token);
tell({
  claims: good.payload,
  header: good.protectedHeader,
  key_set: keys.jwks(),
  refresh: await refusal(verify(task.refresh_token)),
  refresh_without_profile: await refusal(jwtVerify(task.refresh_token, keys)),
  tampered: await refusal(verify(task.tampered)),
  other_audience: await refusal(verify(task.access_token, { audience: 'https://other.example' })),
});
