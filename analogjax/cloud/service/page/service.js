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

export const json = async (path) => (await ask("GET", path)).json();
export const text = async (path) => (await ask("GET", path)).text();
export const logIn = async (token) => (await ask("POST", "/session", { token })).json();
export const logOut = () => ask("DELETE", "/session");
export const cancel = async (id) => (await ask("POST", `/experiments/${id}/cancel`)).json();
export const fileUrl = (id, name) => `api/v1/experiments/${id}/files/${name}`;
