// npm express-oauth2-jwt-bearer in front of an express application, its keys by discovery, strict (RFC 9068).
import express from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';
import { task, tell } from './kit.mjs';

const app = express();
app.use(auth({ issuerBaseURL: task.issuer, audience: task.audience, tokenSigningAlg: task.alg, strict: true }));
app.get('/claims', (request, response) => response.json(request.auth));
app.get('/admin', requiredScopes('admin'), (_request, response) => response.json({}));
app.use((error, _request, response, _next) => {
  response.status(error.status ?? 500).set(error.headers ?? {}).json({ error: error.code, message: error.message });
});
const server = app.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));

async function get(path, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
  return { status: answer.status, body: await answer.json() };
}
tell({
  good: await get('/claims', task.access_token),
  nothing: await get('/claims'),
  refresh: await get('/claims', task.refresh_token),
  tampered: await get('/claims', task.tampered),
  admin: await get('/admin', task.access_token),
});
