/** The files of the node, next to its terminal: folders to browse, and the progress of downloads and uploads. */
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { DragEvent, ReactNode } from 'react';
import type { Subsystem, SubsystemEvents } from '../ssh/session.js';
import { bytes, isoTime, moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { FileBrowser, textOf } from './file-browser.js';
import type { FilesState, Transfer } from './file-browser.js';
import { MAX_ENTRIES } from './sftp.js';
import type { Entry } from './sftp.js';
import './files.css';

export interface FilesPanelProps {
  /** Starts a subsystem next to the shell; null if no shell is running. The function stays the same for the same terminal. */
  readonly subsystem: (name: string, events: SubsystemEvents) => Subsystem | null;
  /** Transfers continue while the panel is hidden. */
  readonly hidden: boolean;
  /** Ends the channel and its running transfers. */
  readonly onClose: () => void;
}

export function FilesPanel({ subsystem, hidden, onClose }: FilesPanelProps): ReactNode {
  const [browser, setBrowser] = useState<FileBrowser | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const opened = new FileBrowser({
      open: (events) => subsystem('sftp', events),
      save,
      now: () => performance.now(),
    });
    setBrowser(opened);
    return () => opened.close();
  }, [subsystem, round]);
  return (
    <aside className="files" aria-label="Files" hidden={hidden}>
      <div className="files-head">
        <h2>Files</h2>
        <button type="button" className="quiet" onClick={onClose}>
          Close files
        </button>
      </div>
      {browser !== null && <Browser key={round} browser={browser} onAgain={() => setRound(round + 1)} />}
    </aside>
  );
}

function Browser({ browser, onAgain }: { readonly browser: FileBrowser; readonly onAgain: () => void }): ReactNode {
  const state = useSyncExternalStore(browser.subscribe, () => browser.state);
  const [over, setOver] = useState(false);
  const { phase, said, folder, loading, error, transfers } = state;
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    browser.upload([...event.dataTransfer.files]);
  };
  if (phase === 'over')
    return (
      <div className="files-over" role="alert">
        <p>
          <SafeText text={`${said}.`} />
        </p>
        <button type="button" className="quiet" onClick={onAgain}>
          Open again
        </button>
        <Transfers browser={browser} transfers={transfers} />
      </div>
    );
  return (
    <div
      className={over ? 'files-body files-drop' : 'files-body'}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      {phase === 'opening' && (
        <p className="files-note" role="status">
          {said === ''
            ? 'Opening'
            : said.split('\n').map((line, i) => (
                <span key={i} className="files-said">
                  <SafeText text={line} />
                </span>
              ))}
        </p>
      )}
      {phase === 'open' && <Place browser={browser} state={state} />}
      {error !== '' && (
        <p className="files-error" role="alert">
          <SafeText text={`${error}.`} />
        </p>
      )}
      {folder !== null && (
        <ul className="files-list" aria-busy={loading} aria-label="Folder">
          {folder.entries.map((entry, i) => (
            <Row key={`${textOf(folder.path)}/${textOf(entry.name)}/${i}`} entry={entry} browser={browser} />
          ))}
          {folder.entries.length === 0 && <li className="files-note">Nothing is in this folder.</li>}
          {folder.cut && <li className="files-note">There is more: the first {MAX_ENTRIES.toLocaleString()} are shown.</li>}
        </ul>
      )}
      <Transfers browser={browser} transfers={transfers} />
    </div>
  );
}

function Place({ browser, state: { folder } }: { readonly browser: FileBrowser; readonly state: FilesState }): ReactNode {
  const input = useRef<HTMLInputElement>(null);
  /** A path was entered, and its folder has not been shown yet. */
  const asked = useRef(false);
  const path = folder === null ? '' : textOf(folder.path);
  const [naming, setNaming] = useState(false);
  const onFolder = (): void => setNaming(!naming);
  useEffect(() => {
    // Text typed meanwhile is kept; the path of a refused folder is replaced when the next folder is shown.
    const box = input.current;
    if (box !== null && (document.activeElement !== box || asked.current)) box.value = path;
    asked.current = false;
  }, [folder, path]);
  return (
    <div className="files-place">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          asked.current = true;
          void browser.go(input.current?.value ?? '.');
        }}
      >
        <button type="button" className="quiet" onClick={() => browser.up()} disabled={folder === null} aria-label="To the folder above">
          ↑
        </button>
        <input ref={input} aria-label="Path of the folder" maxLength={4096} autoComplete="off" autoCapitalize="none" spellCheck={false} />
      </form>
      <button type="button" className="quiet" onClick={onFolder} disabled={folder === null} aria-expanded={naming}>
        New folder
      </button>
      <label className="files-upload">
        Upload
        <input
          type="file"
          multiple
          className="sr"
          disabled={folder === null}
          onChange={(event) => {
            browser.upload([...(event.target.files ?? [])]);
            event.target.value = '';
          }}
        />
      </label>
      {naming && (
        <Naming label="Name of the new folder" act="Make folder" onLeave={onFolder} onName={(name) => void browser.makeFolder(name)} />
      )}
    </div>
  );
}

/** A form that asks for a name. */
function Naming({
  label,
  act,
  name = '',
  onName,
  onLeave,
}: {
  readonly label: string;
  readonly act: string;
  readonly name?: string;
  readonly onName: (name: string) => void;
  readonly onLeave: () => void;
}): ReactNode {
  return (
    <form
      className="files-naming"
      onSubmit={(event) => {
        event.preventDefault();
        onLeave();
        onName(String(new FormData(event.currentTarget).get('name')));
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onLeave();
      }}
    >
      <input
        name="name"
        aria-label={label}
        defaultValue={name}
        ref={(box) => box?.focus()}
        required
        maxLength={255}
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
      />
      <button type="submit" className="quiet">
        {act}
      </button>
      <button type="button" className="quiet" onClick={onLeave}>
        Cancel
      </button>
    </form>
  );
}

const kindText = { folder: 'Folder', file: 'Download', link: 'Link', other: 'Download' } as const;

function Row({ entry, browser }: { readonly entry: Entry; readonly browser: FileBrowser }): ReactNode {
  const { name, kind, size, modified } = entry;
  const [act, setAct] = useState<'none' | 'choose' | 'rename' | 'delete'>('none');
  const text = textOf(name);
  const leave = (): void => setAct('none');
  return (
    <li className="files-row">
      <button type="button" className={`file file-${kind}`} onClick={() => void browser.pick(entry)} title={kindText[kind]}>
        <span className="file-name">
          <SafeText text={`${text}${kind === 'folder' ? '/' : ''}`} />
        </span>
        <span className="file-size">{size === null ? '' : bytes(size)}</span>
        {modified !== null && (
          <time className="file-time" dateTime={isoTime(modified)}>
            {moment(modified)}
          </time>
        )}
      </button>
      <button
        type="button"
        className="quiet file-more"
        onClick={() => setAct(act === 'none' ? 'choose' : 'none')}
        aria-expanded={act !== 'none'}
        aria-label={`More about ${text}`}
      >
        ⋯
      </button>
      {act === 'choose' && (
        <span className="file-acts">
          <button type="button" className="quiet" onClick={() => setAct('rename')}>
            Rename
          </button>
          <button type="button" className="quiet" onClick={() => setAct('delete')}>
            Delete
          </button>
        </span>
      )}
      {act === 'rename' && (
        <Naming label={`New name of ${text}`} act="Rename" name={text} onLeave={leave} onName={(to) => void browser.rename(entry, to)} />
      )}
      {act === 'delete' && (
        <span className="file-acts" role="alert">
          <span className="file-ask">
            Delete <SafeText text={text} /> on the node? {kind === 'folder' && 'Only an empty folder can be deleted. '}It cannot be undone.
          </span>
          <button
            type="button"
            className="quiet"
            onClick={() => {
              leave();
              void browser.remove(entry);
            }}
          >
            Delete it
          </button>
          <button type="button" className="quiet" onClick={leave}>
            Keep it
          </button>
        </span>
      )}
    </li>
  );
}

function Transfers({ browser, transfers }: { readonly browser: FileBrowser; readonly transfers: readonly Transfer[] }): ReactNode {
  if (transfers.length === 0) return null;
  return (
    <section className="transfers" aria-label="Transfers">
      <ul>
        {transfers.map((transfer) => (
          <Moving key={transfer.id} transfer={transfer} browser={browser} />
        ))}
      </ul>
    </section>
  );
}

const stateText = {
  waiting: 'waits',
  running: '',
  asks: 'is there already',
  done: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
} as const;

function Moving({
  transfer: { id, direction, name, total, done, state, why },
  browser,
}: {
  readonly transfer: Transfer;
  readonly browser: FileBrowser;
}): ReactNode {
  const moving = state === 'waiting' || state === 'running';
  return (
    <li className="transfer" data-state={state}>
      <span className="transfer-name">
        {direction === 'up' ? '↑' : '↓'} <SafeText text={name} />
      </span>
      <span className="transfer-state">
        {state === 'running' ? `${bytes(done)}${total === null ? '' : ` of ${bytes(total)}`}` : stateText[state]}
        {state === 'done' && ` · ${bytes(done)}`}
      </span>
      {(moving || state === 'asks') && (
        <span className="transfer-acts">
          {state === 'asks' && (
            <button type="button" className="quiet" onClick={() => browser.replace(id)}>
              Replace
            </button>
          )}
          <button type="button" className="quiet" onClick={() => browser.cancel(id)}>
            {state === 'asks' ? 'Skip' : 'Cancel'}
          </button>
        </span>
      )}
      {moving && <progress value={total === null ? undefined : done} max={Math.max(1, total ?? 1)} aria-label={`Progress of ${name}`} />}
      {state === 'failed' && (
        <p className="files-error">
          <SafeText text={`${why}.`} />
          {direction === 'up' && done > 0 && ' What arrived is on the node.'}
        </p>
      )}
    </li>
  );
}

function save(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser has taken the URL over by the next turn, even if it asks the user first.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
