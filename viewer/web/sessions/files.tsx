/**
 * Files that went through the session. Transfers and file operations come from the event store immediately; the recording then adds
 * whole streams, and tells which files can be extracted. That requires reading the entire recording, so a large one is read only on
 * request.
 */
import { useState } from 'react';
import type { ReactNode } from 'react';
import type { SessionFact, SessionInfo } from '#schemas/api/recordings/sessions.js';
import { Failure } from '../parts/basics.js';
import { addressOf } from '../parts/endpoints.js';
import type { Answered } from '../parts/endpoints.js';
import { bytes, numbered } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import { At, MAX_ROWS, Table, textOf, valuesOf } from './facts.js';

type Recorded = Answered<'GET /api/sessions/:id/files'>['files'][number];

interface FileRow {
  readonly key: string;
  readonly offset: number;
  readonly how: string;
  readonly path: string;
  readonly target: string;
  readonly size: number | null;
  readonly sha256: string;
  /** The error, or ''. */
  readonly fault: string;
  readonly recorded: Recorded | null;
}

/** Recordings up to this size, in bytes, are read without a request. */
const READ_AT_ONCE = 16 << 20;
const failures: ReadonlySet<string> = new Set(['failure', 'unfinished']);
const ways = { transfer: '', stream: 'stream', unechoed: 'typed without echo' } as const;

export function Files({
  session,
  facts,
  onSeek,
}: {
  readonly session: SessionInfo;
  readonly facts: readonly SessionFact[];
  readonly onSeek: (ms: number) => void;
}): ReactNode {
  const [wanted, setWanted] = useState(false);
  // Bytes that passed over a terminal are not a file.
  const known = facts.filter((fact) => fact.kind === 'file' || fact.kind === 'sftp' || isUnechoed(fact) || (!session.tty && isTotal(fact)));
  // A live session grows, so it is read on request.
  const small = session.state !== 'live' && session.recording_bytes <= READ_AT_ONCE;
  const asked = known.length > 0 && (wanted || small);
  const found = useAnswer('GET /api/sessions/:id/files', asked ? { params: { id: session.id } } : null);
  // An entry from the recording replaces the fact about the same file; no other fact is left out.
  const recorded = (found.data?.files ?? []).map(recordedRow);
  const told = new Set(recorded.map(sameOf));
  const rows = [...factRows(known).filter((row) => !told.has(sameOf(row))), ...recorded].sort((a, b) => a.offset - b.offset);
  const count = rows.length + (found.data?.more ?? 0);
  if (known.length === 0) return null;
  return (
    <>
      {rows.length > 0 && (
        <Table title="Files" heads={['At', 'How', 'Where it lay', 'Content', 'Size', 'SHA-256']} count={count}>
          {rows.slice(0, MAX_ROWS).map((row) => (
            <tr key={row.key} className={row.fault === '' ? undefined : 'failed'}>
              <At fact={row} onSeek={onSeek} />
              <td className="nowrap">
                {row.how}
                {row.fault !== '' && <em> {row.fault}</em>}
              </td>
              <td className="mono path">
                <SafeText text={row.path} />
                {row.target !== '' && (
                  <>
                    {' → '}
                    <SafeText text={row.target} />
                  </>
                )}
              </td>
              <td className="content">{row.recorded !== null && <Content session={session.id} file={row.recorded} />}</td>
              <td className="number">{row.size === null ? '–' : bytes(row.size)}</td>
              <td className="mono digest" title={row.sha256}>
                <SafeText text={row.sha256} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {found.error !== null && <Failure error={found.error} />}
      {!asked && (
        <p className="facts-note">
          <button type="button" className="case-button" onClick={() => setWanted(true)}>
            Find what can be taken out
          </button>{' '}
          <span className="hint">reads the whole recording, {bytes(session.recording_bytes)}</span>
        </p>
      )}
      {asked && found.data === null && found.error === null && <p className="hint facts-note">Reading the recording…</p>}
      {found.data !== null && found.data.more > 0 && (
        <p className="hint facts-note">
          {numbered(found.data.more, 'further file')}: <code>steno files {session.id}</code> lists them all.
        </p>
      )}
    </>
  );
}

/** The extracted content is what the gateway hashed; the server refuses users who may not export. */
function Content({ session, file }: { readonly session: string; readonly file: Recorded }): ReactNode {
  if (file.missing !== null) return <span className="hint">{file.missing}</span>;
  return (
    <a href={addressOf('GET /api/sessions/:id/files/:n', { params: { id: session, n: String(file.n) } })} download>
      Download<span className="sr"> {file.path}</span>
    </a>
  );
}

const factOf = (fact: SessionFact): string => (fact.kind === 'stream' ? textOf(valuesOf(fact)['fact']) : '');
const isTotal = (fact: SessionFact): boolean => factOf(fact) === 'total';
/** Data that passed over a terminal without being shown: equivalent to a file without a name. */
const isUnechoed = (fact: SessionFact): boolean => factOf(fact) === 'unechoed';
const sameOf = ({ offset, sha256, path }: FileRow): string => `${offset} ${sha256 === '' ? path : sha256}`;

function factRows(facts: readonly SessionFact[]): FileRow[] {
  return facts.flatMap((fact, i): FileRow[] => {
    const v = valuesOf(fact);
    // If the stream is complete, the recording has a row for it.
    if (isTotal(fact)) return [];
    const size = v['size'];
    const outcome = textOf(v['outcome']);
    const how = isUnechoed(fact)
      ? ways.unechoed
      : [textOf(v['protocol']), textOf(v['operation']) === '' ? textOf(v['name']) : textOf(v['operation'])]
          .filter((text) => text !== '')
          .join(' ');
    return [
      {
        ...{ key: `fact ${i}`, offset: fact.offset, how, path: textOf(v['path']), target: textOf(v['target']), recorded: null },
        size: typeof size === 'number' ? size : null,
        sha256: textOf(v['sha256']),
        fault: failures.has(outcome) ? outcome : '',
      },
    ];
  });
}

function recordedRow(file: Recorded): FileRow {
  const { n, at, kind, protocol, operation, path, size, sha256, outcome } = file;
  return {
    ...{ key: `file ${n}`, offset: at, path, target: '', size, recorded: file },
    how: kind === 'transfer' ? `${protocol} ${operation}` : ways[kind],
    sha256: sha256 ?? '',
    fault: failures.has(outcome) ? outcome : '',
  };
}
