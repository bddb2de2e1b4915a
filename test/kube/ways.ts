/** Raw requests to the API server, through the gateway and directly: kubectl would show only its own view of the bytes. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { parse } from 'yaml';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import type { KubeScene } from './scene.js';

/** One connection, kept open. */
export interface Way {
  readonly agent: Agent;
  /** Base URL of the API server. */
  readonly server: string;
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } }[];
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[];
}

function read(path: string): Kubeconfig {
  return parse(readFileSync(path, 'utf8')) as Kubeconfig;
}

const decoded = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8');

export function directWay({ configs }: KubeScene): Way {
  const { clusters, users } = read(configs.direct);
  const [{ cluster }, { user }] = [clusters[0]!, users[0]!];
  const tls = {
    ca: decoded(cluster['certificate-authority-data']),
    cert: decoded(user['client-certificate-data']!),
    key: decoded(user['client-key-data']!),
  };
  return { agent: new Agent({ ...tls, keepAlive: true, maxSockets: 1 }), server: cluster.server };
}

/** Uses the certificate of the login, as kubectl does. */
export function gatewayWay({ configs, steno }: KubeScene): Way {
  const { cluster } = read(configs.gateway).clusters[0]!;
  const home = join(steno.folder, 'home');
  const [cert, key] = [readFileSync(join(home, 'tls.pem')), readFileSync(join(home, 'tls.key'))];
  const tls = { ca: decoded(cluster['certificate-authority-data']), cert, key, servername: KUBE_SERVER_NAME };
  return { agent: new Agent({ ...tls, keepAlive: true, maxSockets: 1 }), server: cluster.server };
}

export interface Answered {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

/** Ends the response once `until` returns true. */
export function ask(
  { agent, server }: Way,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  until: (body: Buffer) => boolean = () => false,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = request(`${server}${path}`, { agent, headers }, (answer) => {
      const chunks: Buffer[] = [];
      const done = (): void =>
        resolve({ status: answer.statusCode!, type: answer.headers['content-type'] ?? '', body: Buffer.concat(chunks) });
      answer.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (!until(Buffer.concat(chunks))) return;
        done();
        sent.destroy();
      });
      answer.on('end', done);
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}
