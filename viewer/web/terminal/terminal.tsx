/** A terminal at full size: `/terminal?node=NAME&login=LOGIN`. Loaded, with everything it needs, on first use. */
import { useEffect, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { Empty, useTitle } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import { connect } from './connection.js';
import type { Connection, Place, TerminalState } from './connection.js';
import { FilesPanel } from '../files/files.js';
import { Screen } from './screen.js';
import './terminal.css';

const NOTE_MS = 4_000;

export function TerminalPage({ me }: { readonly me: Me }): ReactNode {
  const [query] = useSearchParams();
  const [node, login] = [query.get('node') ?? '', query.get('login') ?? ''];
  const [attempt, setAttempt] = useState(0);
  useTitle(node === '' ? 'Terminal' : `${login}@${node}`);
  if (node === '' || login === '')
    return (
      <Empty title="No node was chosen">
        <Link to="/nodes">List of nodes</Link>
      </Empty>
    );
  return <TerminalView key={`${login}@${node} ${attempt}`} place={{ node, login }} me={me} onAgain={() => setAttempt(attempt + 1)} />;
}

function TerminalView({
  place: { node, login },
  me,
  onAgain,
}: {
  readonly place: Place;
  readonly me: Me;
  readonly onAgain: () => void;
}): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const live = useRef<{ readonly screen: Screen; readonly connection: Connection } | null>(null);
  const [state, setState] = useState<TerminalState>({ kind: 'connecting' });
  const [recording, setRecording] = useState<string | null>(null);
  const [note, setNote] = useState('');
  const [files, setFiles] = useState<'closed' | 'shown' | 'hidden'>('closed');
  const [connection, setConnection] = useState<Connection | null>(null);
  useEffect(() => {
    let gone = false;
    const screen: Screen = new Screen(box.current!, {
      typed: (bytes) => {
        const taken = opened.input(bytes);
        if (taken === 'full') setNote('Too much to paste at once: at most 16 MB wait. None of it was sent.');
        if (taken === 'away') setNote('Not sent: the network is away.');
      },
      resized: (cols, rows) => opened.resize({ cols, rows }),
    });
    const opened = connect({ node, login }, screen.size, {
      state: (next) => {
        if (gone) return;
        setState(next);
        if (next.kind === 'running') screen.focus();
        if (next.kind === 'ended') screen.freeze();
      },
      output: (bytes, drawn) => (gone ? undefined : screen.write(bytes, drawn)),
      recording: (id) => {
        if (!gone) setRecording(id);
      },
    });
    live.current = { screen, connection: opened };
    setConnection(opened);
    return () => {
      gone = true;
      live.current = null;
      opened.close();
      screen.dispose();
    };
  }, [node, login]);
  const running = state.kind === 'running';
  const lives = running || state.kind === 'away';
  useEffect(() => {
    if (!lives) return undefined;
    // Ask before leaving: the shell ends with the page.
    const ask = (event: Event): void => event.preventDefault();
    window.addEventListener('beforeunload', ask);
    return () => window.removeEventListener('beforeunload', ask);
  }, [lives]);
  useEffect(() => {
    if (note === '') return undefined;
    const timer = setTimeout(() => setNote(''), NOTE_MS);
    return () => clearTimeout(timer);
  }, [note]);
  const copy = async (): Promise<void> => {
    setNote((await live.current?.screen.copy()) === true ? 'Copied' : 'Select something first');
    live.current?.screen.focus();
  };
  const paste = async (): Promise<void> => {
    if ((await live.current?.screen.paste()) !== true) setNote('The browser does not let this page read the clipboard. Use Ctrl+Shift+V.');
  };
  return (
    <section className="terminal-page" data-state={state.kind}>
      <div className="terminal-bar">
        <h1>
          <SafeText text={`${login}@${node}`} />
        </h1>
        <Status state={state} />
        <span className="terminal-note" role="status">
          {note}
        </span>
        <div className="terminal-acts">
          <button type="button" className="quiet" onClick={() => void copy()}>
            Copy
          </button>
          <button type="button" className="quiet" onClick={() => void paste()} disabled={!running}>
            Paste
          </button>
          <button
            type="button"
            className="quiet"
            onClick={() => setFiles(files === 'shown' ? 'hidden' : 'shown')}
            disabled={!running && files === 'closed'}
            aria-expanded={files === 'shown'}
          >
            Files
          </button>
          <button type="button" className="quiet" onClick={() => live.current?.connection.close()} disabled={state.kind === 'ended'}>
            Close
          </button>
        </div>
      </div>
      {state.kind === 'confirming' && (
        <p className="terminal-ask" role="alert">
          This session needs your second factor.{' '}
          <a href={`/confirm#${state.token}`} target="_blank" rel="noopener">
            Confirm it
          </a>{' '}
          within a minute; the terminal goes on by itself.
        </p>
      )}
      <div className="terminal-body">
        <div className="terminal-screen" ref={box} />
        {files !== 'closed' && connection !== null && (
          <FilesPanel subsystem={connection.subsystem} hidden={files === 'hidden'} onClose={() => setFiles('closed')} />
        )}
      </div>
      {state.kind === 'ended' && (
        <div className="terminal-end" role="alert" data-good={state.good}>
          <div>
            <strong>
              <SafeText text={`${state.what}.`} />
            </strong>{' '}
            {state.fix !== '' && <SafeText text={state.fix} />}
          </div>
          <div className="terminal-acts">
            {recording !== null && me.view !== 'none' && <Link to={`/sessions/${recording}`}>View the recording</Link>}
            <Link to="/nodes">Nodes</Link>
            <button type="button" className="primary" onClick={onAgain}>
              Open again
            </button>
          </div>
        </div>
      )}
    </section>
  );
}

const words = { connecting: 'Connecting', confirming: 'Waits for you', running: 'Live', away: 'Reconnecting', ended: 'Ended' } as const;

function Status({ state: { kind } }: { readonly state: TerminalState }): ReactNode {
  return (
    <span className="terminal-state" data-kind={kind}>
      {words[kind]}
    </span>
  );
}
