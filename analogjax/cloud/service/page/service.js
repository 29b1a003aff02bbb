// Talking to the service. The session is a cookie that this script can't read.
export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(`api/v1${path}`, {
      method, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body),
      headers: { "X-Requested-With": "analogjax", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    });
  } catch {
    throw new Refused(0, "The service does not answer. It is tried again.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, told.message || `The service answered ${answer.status}.`);
  }
  return answer;
}

const of = (id) => `/experiments/${encodeURIComponent(id)}`;
const json = async (...given) => (await ask(...given)).json();

export const me = () => json("GET", "/me");
export const experiment = (id) => json("GET", `${of(id)}?epochs=false`);
export const epochs = (id, given) => json("GET", `${of(id)}/epochs?${new URLSearchParams(given)}`);
export const log = (id, given) => json("GET", `${of(id)}/log?${new URLSearchParams(given)}`);
export const file = (id, name) => json("GET", `${of(id)}/files/${name}`);
export const cancel = (id) => json("POST", `${of(id)}/cancel`);
export const rerun = (id) => json("POST", `${of(id)}/rerun`);
export const remove = (id) => ask("DELETE", of(id));
export const change = (id, given) => json("PATCH", of(id), given);
export const logIn = (token) => json("POST", "/session", { token });
export const logOut = () => ask("DELETE", "/session");
export const fileUrl = (id, name) => `api/v1${of(id)}/files/${name}`;
export async function list(given) {
  const answer = await ask("GET", `/experiments?${new URLSearchParams(given)}`);
  return { rows: await answer.json(), total: Number(answer.headers.get("X-Total-Count")) };
}
