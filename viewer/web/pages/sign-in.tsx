/** Nobody is signed in: what to do, also when the link was used already. */
import type { ReactNode } from 'react';
import { Copy, useTitle } from '../parts/basics.js';

export function SignInPage({ refusal }: { readonly refusal: string | null }): ReactNode {
  useTitle('Sign in');
  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <p className="brand">
          <span className="brand-dot" aria-hidden="true" />
          Steno
        </p>
        {refusal === null ? (
          <>
            <h1>Sign in with a link</h1>
            <p>Steno has no passwords. Whoever holds a certificate gets a link that works once. In a terminal, run:</p>
          </>
        ) : (
          <>
            <h1>This link no longer works</h1>
            <p role="alert">
              {refusal.charAt(0).toUpperCase() + refusal.slice(1)}. Each link signs in one browser, once, and only for a few minutes. For a fresh one, run:
            </p>
          </>
        )}
        <Copy text="steno login --web" label="Copy the command" />
        <p className="hint">and open the address it prints. On the machine that Steno runs on, its start prints one, too.</p>
      </div>
    </main>
  );
}
