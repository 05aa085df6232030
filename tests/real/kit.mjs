// What the scripts that drive an issuer share. Each is called as `node SCRIPT JSON` and writes one JSON line.
export const task = JSON.parse(process.argv[2]);

// Every answer that the library got: path below the issuer, status, content type.
export const answers = [];
const base = new URL(task.issuer).pathname.replace(/\/$/, '');

export async function watched(url, options) {
  const answer = await fetch(url, options);
  const path = new URL(url).pathname;
  const local = path.startsWith(`${base}/`) ? path.slice(base.length) : path;
  answers.push([local, answer.status, answer.headers.get('content-type')]);
  return answer;
}

// What a promise is refused with, as far as it can be told: the library's error, the server's, the status.
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    const challenge = Array.isArray(error.cause) ? error.cause[0].scheme : undefined;
    return {
      name: error.name,
      code: error.code ?? error.errorCode,
      status: error.status,
      error: error.error,
      description: error.error_description,
      challenge,
      message: error.message,
    };
  }
  return null;
}

// The last thing a script does: some libraries leave connections open that would keep it alive.
export function tell(found) {
  process.stdout.write(`${JSON.stringify({ ...found, answers })}\n`, () => process.exit(0));
}
