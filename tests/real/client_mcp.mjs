// The OAuth client of the MCP SDK: discovery, then a refresh that names the resource, as MCP wants.
import { discoverAuthorizationServerMetadata, refreshAuthorization } from '@modelcontextprotocol/sdk/client/auth.js';
import { refusal, task, tell, watched } from './kit.mjs';

const metadata = await discoverAuthorizationServerMetadata(task.issuer, { fetchFn: watched });
const clientInformation = {
  client_id: task.client_id,
  client_secret: task.client_secret,
  token_endpoint_auth_method: task.method,
};
const refresh = (refreshToken, who = clientInformation) => refreshAuthorization(task.issuer, {
  metadata, clientInformation: who, refreshToken, resource: new URL(task.audience), fetchFn: watched,
});
const tokens = await refresh(task.refresh_token);
const found = { metadata, tokens, garbage: await refusal(refresh('garbage')) };
if (task.method !== 'none') {
  found.wrong_secret = await refusal(
    refresh(tokens.refresh_token, { ...clientInformation, client_secret: `${task.client_secret}!` }));
}
tell(found);
