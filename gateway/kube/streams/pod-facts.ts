/** Facts about the container that a stream goes to. Tested in ../streaming.test.ts. */
import { randomUUID } from 'node:crypto';
import { identityHeaders } from '../requests/headers.js';
import type { Entered } from '../requests/request.js';
import { upstreamRequest } from '../requests/upstreams.js';
import type { Upstream } from '../requests/upstreams.js';
import { DIAL_MS } from './dial.js';

const MAX_POD = 4 << 20;

export interface PodFacts {
  readonly container: string;
  readonly image: string;
  /** The runtime's id of the container; empty while it does not run. */
  readonly id: string;
  /** UID of the pod, and the name of its node. */
  readonly uid: string;
  readonly node: string;
}

const NOWHERE = { id: '', uid: '', node: '' };

/** Reads the facts with the user's own right to read the pod; empty without that right. */
export function podOf(upstream: Upstream, { authorized, target }: Entered, container: string): Promise<PodFacts> {
  const path = target.path.replace(/\/[a-z]+$/, '');
  const headers = { accept: 'application/json', ...identityHeaders(authorized.impersonate, authorized.groups, randomUUID()) };
  return new Promise((resolve) => {
    const unknown = { container, image: '', ...NOWHERE };
    const asked = upstream.request(upstreamRequest(upstream, { path, query: '' }, 'GET', headers), (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_POD) asked.destroy();
        else chunks.push(chunk);
      });
      answer.on('error', () => resolve(unknown));
      answer.on('end', () => resolve(answer.statusCode === 200 ? factsIn(Buffer.concat(chunks), container) : unknown));
    });
    // Tunnel streams have no timeouts.
    const silence = setTimeout(() => asked.destroy(), DIAL_MS);
    asked.on('close', () => {
      clearTimeout(silence);
      resolve(unknown);
    });
    asked.on('error', () => resolve(unknown));
    asked.end();
  });
}

/** Names of containers are unique in a pod; without a name, the container named by the annotation is used, or the first. */
function factsIn(json: Buffer, wantedContainer: string): PodFacts {
  try {
    const { metadata, spec, status } = JSON.parse(json.toString('utf8')) as {
      readonly metadata?: { readonly annotations?: Readonly<Record<string, unknown>>; readonly uid?: unknown };
      readonly spec?: {
        readonly nodeName?: unknown;
        readonly containers?: readonly { readonly name?: unknown; readonly image?: unknown }[];
      };
      readonly status?: Readonly<
        Record<
          string,
          | readonly { readonly name?: unknown; readonly imageID?: unknown; readonly image?: unknown; readonly containerID?: unknown }[]
          | undefined
        >
      >;
    };
    const usual = metadata?.annotations?.['kubectl.kubernetes.io/default-container'] ?? spec?.containers?.[0]?.name;
    const container = wantedContainer === '' && typeof usual === 'string' ? usual : wantedContainer;
    const running = ['containerStatuses', 'ephemeralContainerStatuses', 'initContainerStatuses']
      .flatMap((list) => status?.[list] ?? [])
      .find(({ name }) => name === container);
    const image =
      running?.imageID === '' ? running.image : (running?.imageID ?? spec?.containers?.find(({ name }) => name === container)?.image);
    const id = /^[a-z0-9-]{1,32}:\/\/([0-9a-f]{64})$/.exec(String(running?.containerID))?.[1] ?? '';
    return {
      container: container.slice(0, 255),
      image: typeof image === 'string' ? image.slice(0, 1024) : '',
      ...{ id, uid: shortText(metadata?.uid, 64), node: shortText(spec?.nodeName, 253) },
    };
  } catch {
    return { container: wantedContainer, image: '', ...NOWHERE };
  }
}

function shortText(value: unknown, most: number): string {
  return typeof value === 'string' && value.length <= most ? value : '';
}
