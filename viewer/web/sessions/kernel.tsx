/** What a session did in the kernel of its node, beside its replay: processes as a tree, files, network. Each leads to its moment. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import type { KernelEventInfo, KernelEventList } from '#schemas/api.js';
import { gapText } from '#schemas/kernel/kernel-gap.js';
import { fold, processForest } from '#schemas/kernel/process-tree.js';
import type { ProcessNode } from '#schemas/kernel/process-tree.js';
import { isReading } from '#schemas/kernel/matters.js';
import { bytes, clock } from '../parts/format.js';
import { At, Table, MAX_ROWS } from './facts.js';
import './kernel.css';
import { SafeText } from '../parts/safe-text.js';
import { useJson } from '../parts/use-json.js';

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
  const [all, setAll] = useState(false);
  if (data === null || data.events.length + data.gaps.length === 0) return null;
  const forest = processForest(data.events);
  const { roots, login } = all ? { ...forest, login: 0 } : fold(forest);
  const acts = roots.flatMap(actsOf).sort((a, b) => a.offset - b.offset);
  const files = acts.filter(({ kind, name }) => kind === 'file' && name !== 'digest');
  const network = acts.filter(({ kind }) => networkKinds.has(kind));
  const power = acts.filter(({ kind }) => powerKinds.has(kind));
  const notable = acts.filter(isNotable);
  const gaps = [...data.gaps, ...data.events.filter(({ kind }) => kind === 'gap')].sort((a, b) => a.offset - b.offset);
  return (
    <>
      {gaps.length > 0 && (
        <Table title="Missing events" heads={['At', 'What', 'Until', '']} count={gaps.length}>
          {gaps.slice(0, MAX_ROWS).map((gap) => (
            <tr key={gap.place} className="failed">
              <At fact={gap} onSeek={onSeek} />
              <td>{gapText(gap.name, gap.count, gap.data['signed'] === true && gap.data['last_ms'] === undefined)}</td>
              <td className="at">{typeof gap.data['last_ms'] === 'number' && clock(gap.data['last_ms'])}</td>
              <td className="mono path">
                <SafeText text={gap.name} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {notable.length > 0 && (
        <Table title="Worth a look" heads={['At', 'What', 'Where', 'Result']} count={notable.length}>
          {notable.slice(0, MAX_ROWS).map((event) => (
            <Row key={event.place} event={event} onSeek={onSeek} what={actText(event)} where={event.path} />
          ))}
        </Table>
      )}
      <section className="facts">
        <h2>
          Processes{' '}
          <span className="count">
            {data.more ? `of the first ${MAX_EVENTS} events` : data.events.filter(({ kind }) => kind === 'exec').length}
          </span>
        </h2>
        {(login > 0 || all) && (
          <p className="hint">
            {login > 0 && `Login by the node service: ${login} events. `}
            <button type="button" className="seek" onClick={() => setAll(!all)}>
              {all ? 'Show less' : 'Show everything'}
            </button>
          </p>
        )}
        <ul className="process-tree mono">
          {roots.map((node) => (
            <Process key={`${node.pid} ${node.started}`} node={node} onSeek={onSeek} />
          ))}
        </ul>
        {data.more && <p className="hint">All of it: steno events {session} --tree</p>}
      </section>
      {files.length > 0 && (
        <Table title="Files changed, and those that matter read" heads={['At', 'What', 'Path', 'Result']} count={files.length}>
          {files.slice(0, MAX_ROWS).map((event) => (
            <Row
              key={event.place}
              event={event}
              onSeek={onSeek}
              what={isNotable(event) ? actText(event) : event.name}
              where={event.path === '' ? event.reason : event.path}
            />
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

/** Ways out of the session, and the opening of files that matter. */
const isNotable = ({ kind, data }: KernelEventInfo): boolean => kind === 'escape' || data['matters'] !== undefined;

function actsOf(node: ProcessNode): readonly KernelEventInfo[] {
  return [...node.acts, ...node.children.flatMap(actsOf)];
}

function actText({ kind, name, reason, data }: KernelEventInfo): string {
  if (kind === 'escape') return `escape through ${reason}`;
  return `${isReading(reason) ? 'read' : name} (${String(data['matters'])})`;
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
      <td className="word">
        <SafeText text={what} />
        {event.count !== null && event.count > 1 && ` ${event.count} times`}
      </td>
      <td className="mono path">
        <SafeText text={where} />
      </td>
      <td className="word">{failed && <SafeText text={event.outcome} />}</td>
    </tr>
  );
}

function Process({ node, onSeek }: { readonly node: ProcessNode; readonly onSeek: Seek }): ReactNode {
  const lines = node.execs.length === 0 || node.login === true ? [null] : node.execs;
  return (
    <li>
      {lines.map((exec, i) => (
        <button
          key={i}
          type="button"
          className="process"
          onClick={() => onSeek(exec?.offset ?? (node.login === true ? node.acts[0]!.offset : node.started))}
        >
          {i > 0 && '→ '}
          {exec === null ? (
            <em>{node.login === true ? 'the login by the node service' : 'a copy of its parent'}</em>
          ) : (
            <SafeText text={exec.name} />
          )}
          {i === lines.length - 1 && node.exit !== null && node.exit.outcome !== 'success' && (
            <span className="process-exit">
              {' '}
              <SafeText text={node.exit.name} />
            </span>
          )}
        </button>
      ))}
      {node.acts.filter(isNotable).map((act) => (
        <button key={act.place} type="button" className="process process-act" onClick={() => onSeek(act.offset)}>
          <SafeText text={`${actText(act)} ${act.path}`} />
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
