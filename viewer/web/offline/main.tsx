/** Entry point of a recorded session exported as one file. The page fetches nothing. */
import { createRoot } from 'react-dom/client';
import 'asciinema-player/dist/bundle/asciinema-player.css';
import '../app/style.css';
import '../verify/verify.css';
import './offline.css';
import { config } from 'zod';
import { takeEmbedded } from './embedded.js';
import { Keeper } from './keeper.js';
import { OfflinePage, Reading, Unreadable } from './page.js';

// The page's policy forbids code made from text.
config({ jitless: true });

async function start(): Promise<void> {
  const note = document.querySelector('.unstarted');
  const taking = takeEmbedded(document, (share) => {
    if (note !== null) note.textContent = `Reading the recording: ${Math.floor(share * 100)} %`;
  });
  // The script is running, so the note that it did not start is no longer true.
  note?.classList.replace('unstarted', 'starting-page');
  const { about, files, faults } = await taking;
  const root = createRoot(document.getElementById('root')!);
  const recording = files.get('recording');
  if (about === null || recording === undefined) {
    root.render(<Unreadable faults={[...faults, ...(recording === undefined ? ['there is no recording in the page'] : [])]} />);
    return;
  }
  root.render(<Reading />);
  const keeper = new Keeper();
  const events = files.get('events') ?? null;
  const sizes = { recording: recording.byteLength, events: events?.byteLength ?? 0 };
  const transfer = events === null ? [recording] : [recording, events];
  try {
    const { contents, digests } = await keeper.ask(
      'opened',
      { kind: 'open', files: { recording, events }, session: about.session },
      transfer,
    );
    const listed = about.files.flatMap(({ name, bytes, sha256 }) =>
      digests[name] === sha256 && sizes[name] === bytes ? [] : [`its ${name} is not the file that was put into it`],
    );
    const missing = Object.keys(digests).filter((name) => !about.files.some((file) => file.name === name));
    const all = [...faults, ...listed, ...missing.map((name) => `its ${name} is in no list`)];
    root.render(<OfflinePage about={about} contents={contents} faults={all} keeper={keeper} sizes={sizes} />);
  } catch (error) {
    root.render(<Unreadable faults={[error instanceof Error ? error.message : 'it cannot be read']} />);
  }
}

document.addEventListener('DOMContentLoaded', () => void start());
