/**
 * A client that sends session channel messages that stock `ssh` cannot: paramiko, as a program for `/usr/bin/python3 -c`.
 */

/**
 * `script` may use `ask(name, text…)`, which sends a request with reply; `tell(name, text…)`, which sends one without;
 * `run()`, which runs a command to its end; and `chan`. Prints the answers and the server's requests with their text, as
 * they arrive.
 */
export function paramikoChannel({ port, key, user }: { port: number; key: string; user: string }, script: string): string {
  return `
import paramiko, queue
from paramiko.common import cMSG_CHANNEL_REQUEST, MSG_CHANNEL_REQUEST, MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE
key = paramiko.Ed25519Key(filename='${key}'); key.load_certificate('${key}-cert.pub')
asked, answers = queue.Queue(), queue.Queue()
def requested(chan, m):
    name = m.get_text(); m.get_boolean()
    text = m.get_text() if name.endswith('@steno') else ''
    if name == 'exit-signal': name += ' ' + m.get_text(); m.get_boolean(); text = m.get_text()
    print(*filter(None, ('got', name, text)), flush=True); m.rewind(); m.get_int(); chan._handle_request(m)
def answered(word):
    def handle(chan, m):
        print(word, asked.get(), flush=True); answers.put(word)
    return handle
class Client(paramiko.Transport):
    _channel_handler_table = {**paramiko.Transport._channel_handler_table, MSG_CHANNEL_REQUEST: requested,
        MSG_CHANNEL_SUCCESS: answered('taken'), MSG_CHANNEL_FAILURE: answered('refused')}
t = Client(('127.0.0.1', ${port})); t.start_client(); t.auth_publickey('${user}', key)
chan = t.open_session()
def send(reply, name, texts):
    m = paramiko.Message(); m.add_byte(cMSG_CHANNEL_REQUEST); m.add_int(chan.remote_chanid); m.add_string(name); m.add_boolean(reply)
    for text in texts: m.add_string(text)
    t._send_user_message(m)
def tell(name, *texts): send(False, name, texts)
def ask(name, *texts): asked.put(name); send(True, name, texts); answers.get(timeout=60)
def run(command='echo in'):
    ask('exec', command); chan.status_event.wait(60); print(chan.makefile().read().decode(), end='', flush=True)
${script}
t.close()
`;
}
