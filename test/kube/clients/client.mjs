/** Typical calls of `@kubernetes/client-node`, with their results as JSON: `client.mjs KUBECONFIG`. Run through the gateway and without. */
// @ts-check
import { createServer, connect } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromFile(process.argv[2] ?? '');
const core = config.makeApiClient(k8s.CoreV1Api);
/** @type {Record<string, unknown>} */
const found = {};

/** @param {string} name @param {() => Promise<unknown>} ask */
async function claim(name, ask) {
  try {
    found[name] = await ask();
  } catch (error) {
    found[name] = String(error instanceof Error ? error.message : error);
  }
}

/** A stream that collects its input. */
class Kept extends Writable {
  text = '';
  /** @type {(() => void)[]} */
  waiting = [];

  /** @param {Buffer} chunk @param {string} _encoding @param {() => void} done */
  _write(chunk, _encoding, done) {
    this.text += chunk.toString();
    for (const look of this.waiting) look();
    done();
  }
}

/** @param {string[]} command @param {import('node:stream').Readable | null} input @param {boolean} tty @returns {Promise<unknown>} */
function execute(command, input, tty) {
  const [out, err] = [new Kept(), new Kept()];
  return new Promise((resolve, reject) => {
    /** @type {k8s.V1Status | undefined} */
    let status;
    new k8s.Exec(config)
      .exec('default', 'box', 'main', command, out, err, input, tty, (said) => (status = said))
      .then((socket) => {
        socket.onclose = () => {
          // Random identifiers of containerd.
          const words = [status?.details?.causes?.[0]?.message, status?.message].map((said) => said?.replace(/[0-9a-f]{62,64}/g, ''));
          resolve([out.text, err.text, status?.status, ...words]);
        };
      }, reject);
  });
}

await claim('version and groups', async () => [
  (await config.makeApiClient(k8s.VersionApi).getCode()).gitVersion,
  (await config.makeApiClient(k8s.ApisApi).getAPIVersions()).groups.length,
  (await core.getAPIResources()).resources.length,
]);
await claim('lists', async () => (await core.listNamespacedPod({ namespace: 'default' })).items.map(({ metadata }) => metadata?.name));
await claim('exec', () => execute(['sh', '-c', 'echo out; echo ünï; echo err >&2; exit 7'], null, false));
await claim('exec with input until its end', () => {
  const input = new PassThrough();
  const done = execute(['sha256sum'], input, false);
  input.end('x'.repeat(300_000));
  return done;
});
await claim('a terminal that asks for errors beside its output', () => execute(['sh', '-c', 'tty; exit 4'], new PassThrough(), true));
await claim('a program that is not there', () => execute(['absent-program'], null, false));
await claim(
  'an informer',
  () =>
    new Promise((resolve, reject) => {
      const informer = k8s.makeInformer(config, '/api/v1/namespaces/default/pods', () => core.listNamespacedPod({ namespace: 'default' }));
      informer.on('add', (pod) => {
        resolve(pod.metadata?.name);
        void informer.stop();
      });
      informer.on('error', reject);
      void informer.start();
    }),
);
await claim('logs', async () => {
  const log = new Kept();
  const ended = new Promise((resolve) => log.on('finish', resolve));
  await new k8s.Log(config).log('default', 'box', 'main', log, {});
  await ended;
  return log.text;
});
await claim('a forwarded port', async () => {
  const server = createServer((socket) => void new k8s.PortForward(config).portForward('default', 'box', [8080], socket, null, socket));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const client = connect(port, '127.0.0.1');
  client.write('GET /file HTTP/1.0\r\n\r\n');
  const got = await new Promise((resolve) => {
    let text = '';
    // This client does not report when the pod ends the connection.
    client.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const [head, body = ''] = text.split('\r\n\r\n', 2);
      if (body.length >= 300_000) resolve([head?.slice(0, 15), body.length]);
    });
  });
  client.destroy();
  server.close();
  return got;
});
await claim('a patch', async () => {
  const options = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch);
  const body = { metadata: { labels: { patched: 'by-node' } } };
  return (await core.patchNamespacedPod({ name: 'box', namespace: 'default', body }, options)).metadata?.labels?.['patched'];
});
await claim('an object that is not there', async () =>
  core.readNamespacedPod({ name: 'absent', namespace: 'default' }).catch((error) => [error.code, JSON.parse(error.body).message]),
);
await claim('a review of access', async () => {
  const body = { spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } };
  return (await config.makeApiClient(k8s.AuthorizationV1Api).createSelfSubjectAccessReview({ body })).status?.allowed;
});

console.log(JSON.stringify(found));
process.exit(0);
