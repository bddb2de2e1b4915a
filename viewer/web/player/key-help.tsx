/** A dialog that lists the keys of the session page. Keep the list in step with `useReplayKeys` and the panes. */
import type { ReactNode, RefObject } from 'react';

const keyHelp: readonly (readonly [keys: readonly string[], does: string])[] = [
  [['Space', 'K'], 'Play or pause'],
  [['←', '→'], 'Five seconds back or on; with Shift thirty'],
  [[',', '.'], 'To the change of the screen before, or to the next'],
  [['[', ']'], 'To the command before, or to the next'],
  [['N', 'P'], 'To the next hit of the search, or to the one before'],
  [['<', '>'], 'Slower, faster'],
  [['I'], 'Skip idle time'],
  [['Home', 'End'], 'To the beginning, to the end'],
  [['L'], 'To the end of a live session, and on with it'],
  [['C'], 'Catch up with a live session: fast, without idle time'],
  [['F'], 'Full screen'],
  [['↑', '↓'], 'In a list beside the player: the row before, the next; Enter goes to its moment'],
  [['?'], 'These keys'],
];

export function KeyHelp({ dialog }: { readonly dialog: RefObject<HTMLDialogElement | null> }): ReactNode {
  return (
    <dialog
      ref={dialog}
      className="key-help"
      aria-labelledby="key-help-title"
      onClick={(event) => {
        // A click on the backdrop: the target is the dialog itself.
        if (event.target === event.currentTarget) event.currentTarget.close();
      }}
    >
      <div className="key-help-body">
        <h2 id="key-help-title">Keys</h2>
        <dl>
          {keyHelp.map(([keys, does]) => (
            <div key={does}>
              <dt>
                {keys.map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <form method="dialog">
          <button type="submit" className="quiet">
            Close
          </button>
        </form>
      </div>
    </dialog>
  );
}
