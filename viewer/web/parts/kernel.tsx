/** What a session did in the kernel of its node, beside its replay: processes as a tree, files, network. Each leads to its moment. */
import type { ReactNode } from 'react';
import type { KernelEventInfo, KernelEventList } from '#schemas/api.js';
import { processForest } from '#schemas/process-tree.js';
import type { ProcessNode } from '#schemas/process-tree.js';
import { useJson } from '../api.js';
import { bytes } from '../format.js';
import { At, Table, MAX_ROWS } from './facts.js';
import './kernel.css';
import { SafeText } from './safe-text.js';

const REFRESH_LIVE_MS = 3_000;
/** Events on the page; all of them are in `steno events`. */
const MAX_EVENTS = 1_000;
const networkKinds: ReadonlySet<string> = new Set(['connect', 'accept', 'listen', 'send', 'dns']);
const powerKinds: ReadonlySet<string> = new Set(['privilege', 'system', 'escape']);

type Seek = (ms: number) => void;

export function KernelEvents({
  session,
  live,
  onSeek,
}: {
  readonly session: string;
  readonly live: boolean;
  readonly onSeek: Seek;
}): ReactNode {
  const { data } = useJson<KernelEventList>(
    `/api/sessions/${session}/events?only=tree&limit=${MAX_EVENTS}`,
    live ? REFRESH_LIVE_MS : undefined,
  );
  if (data === null || data.events.length === 0) return null;
  const { roots } = processForest(data.events);
  const files = data.events.filter(({ kind }) => kind === 'file');
  const network = data.events.filter(({ kind }) => networkKinds.has(kind));
  const power = data.events.filter(({ kind }) => powerKinds.has(kind));
  return (
    <>
      <section className="facts">
        <h2>
          Processes{' '}
          <span className="count">
            {data.more ? `of the first ${MAX_EVENTS} events` : data.events.filter(({ kind }) => kind === 'exec').length}
          </span>
        </h2>
        <ul className="process-tree mono">
          {roots.map((node) => (
            <Process key={`${node.pid} ${node.started}`} node={node} onSeek={onSeek} />
          ))}
        </ul>
        {data.more && <p className="hint">All of it: steno events {session} --tree</p>}
      </section>
      {files.length > 0 && (
        <Table title="Files changed" heads={['At', 'What', 'Path', 'Result']} count={files.length}>
          {files.slice(0, MAX_ROWS).map((event) => (
            <Row key={event.place} event={event} onSeek={onSeek} what={event.name} where={event.path} />
          ))}
        </Table>
      )}
      {network.length > 0 && (
        <Table title="Network" heads={['At', 'What', 'Where', 'Result']} count={network.length}>
          {network.slice(0, MAX_ROWS).map((event) => (
            <Row
              key={event.place}
              event={event}
              onSeek={onSeek}
              what={`${event.kind} ${event.kind === 'dns' ? event.reason : event.name}`}
              where={whereOf(event)}
            />
          ))}
        </Table>
      )}
      {power.length > 0 && (
        <Table title="Privileges and system" heads={['At', 'What', 'Where', 'Result']} count={power.length}>
          {power.slice(0, MAX_ROWS).map((event) => (
            <Row
              key={event.place}
              event={event}
              onSeek={onSeek}
              what={event.kind === 'escape' ? `escape through ${event.reason}` : event.name}
              where={whereOf(event)}
            />
          ))}
        </Table>
      )}
    </>
  );
}

function whereOf({ kind, name, path, address, port, reason, data, size }: KernelEventInfo): string {
  if (kind === 'dns') return name;
  if (kind === 'privilege') return `uid ${String(data['uid'])}, effective ${String(data['euid'])}`;
  if (address !== '')
    return `${address.includes(':') ? `[${address}]` : address}:${port ?? 0}${kind === 'send' && size !== null ? `, ${bytes(size)}` : ''}`;
  return path === '' && kind === 'system' ? reason : path;
}

function Row({
  event,
  onSeek,
  what,
  where,
}: {
  readonly event: KernelEventInfo;
  readonly onSeek: Seek;
  readonly what: string;
  readonly where: string;
}): ReactNode {
  const failed = event.outcome !== '' && event.outcome !== 'success';
  return (
    <tr className={failed ? 'failed' : undefined}>
      <At fact={event} onSeek={onSeek} />
      <td>
        <SafeText text={what} />
        {event.count !== null && event.count > 1 && ` ${event.count} times`}
      </td>
      <td className="mono path">
        <SafeText text={where} />
      </td>
      <td>{failed && <SafeText text={event.outcome} />}</td>
    </tr>
  );
}

function Process({ node, onSeek }: { readonly node: ProcessNode; readonly onSeek: Seek }): ReactNode {
  const lines = node.execs.length === 0 ? [null] : node.execs;
  return (
    <li>
      {lines.map((exec, i) => (
        <button key={i} type="button" className="process" onClick={() => onSeek(exec?.offset ?? node.started)}>
          {i > 0 && '→ '}
          {exec === null ? <em>a copy of its parent</em> : <SafeText text={exec.name} />}
          {i === lines.length - 1 && node.exit !== null && node.exit.outcome !== 'success' && (
            <span className="process-exit">
              {' '}
              <SafeText text={node.exit.name} />
            </span>
          )}
        </button>
      ))}
      {node.children.length > 0 && (
        <ul>
          {node.children.map((child) => (
            <Process key={`${child.pid} ${child.started}`} node={child} onSeek={onSeek} />
          ))}
        </ul>
      )}
    </li>
  );
}
