/**
 * The application shell: identifies the user, routes by the address, and draws the frame around each view. Without an identity it shows
 * only the sign-in page; the address is kept, so that signing in leads back to it.
 */
import { Suspense, useEffect, useState } from 'react';
import type { ReactNode, SubmitEvent } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import type { Me } from '#schemas/api/front/sign-in.js';
import { ApiFailure, signedOut } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import { AccountPage } from '../login/account.js';
import { InvitationPage } from '../login/invitation.js';
import { SignInPage } from '../login/sign-in.js';
import { LoginViews } from '../login/views.js';
import { earlyOpening } from '../parts/opening.js';
import { AuditPage, SiemPage, ViewsPage } from '../audit/audit.js';
import { CaseViews } from '../cases/views.js';
import { FindingViews } from '../findings/views.js';
import { NodeViews, nodeAddress } from '../nodes/views.js';
import { RequestsPage } from '../requests/requests.js';
import { SearchPage } from '../search/search.js';
import { SessionViews, sessionsAddress } from '../sessions/views.js';
import { Background } from './background.js';
import { ComparePage, PatternsPage, SqlPage } from './later-pages.js';
import { Empty } from '../parts/basics.js';
import { queryText } from '../parts/query-text.js';
import { queries } from '../parts/use-json.js';

type Identity =
  { readonly kind: 'unknown' } | { readonly kind: 'nobody'; readonly refusal: string | null } | { readonly kind: 'user'; readonly me: Me };

/** The token in the address, removed from the address immediately so that it does not stay in the history. */
function takeToken(): string | null {
  const match = /^#sign-in=(.+)$/.exec(location.hash);
  if (match === null) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return decodeURIComponent(match[1]!);
}

let signingIn: Promise<Identity> | undefined;

async function identify(): Promise<Identity> {
  const token = takeToken();
  if (token !== null) {
    try {
      return { kind: 'user', me: await ask('POST /api/sign-in', { body: { token } }) };
    } catch (error) {
      const known = await ask('GET /api/me', {}).catch(() => null);
      return known === null ? { kind: 'nobody', refusal: (error as Error).message } : { kind: 'user', me: known };
    }
  }
  const opening = earlyOpening();
  if (opening !== null) {
    const known = await opening.answer.catch((error: unknown) =>
      error instanceof ApiFailure && error.code === 'NOT_SIGNED_IN' ? ('nobody' as const) : null,
    );
    if (known === 'nobody') return { kind: 'nobody', refusal: null };
    if (known !== null) return { kind: 'user', me: known.me };
  }
  return ask('GET /api/me', {}).then(
    (me): Identity => ({ kind: 'user', me }),
    (): Identity => ({ kind: 'nobody', refusal: null }),
  );
}

/** The user whose answers are cached. */
let shownTo: string | null = null;

export function App(): ReactNode {
  const [identity, setIdentity] = useState<Identity>({ kind: 'unknown' });
  const show = (next: Identity): void => {
    const user = next.kind === 'user' ? next.me.user : null;
    if (user !== shownTo) queries.clear();
    shownTo = user;
    setIdentity(next);
  };
  useEffect(() => {
    // A token works once: a second run of this effect must wait for the first.
    signingIn ??= identify();
    void signingIn.then(show);
    const onSignedOut = (): void => show({ kind: 'nobody', refusal: null });
    const onHash = (): void => {
      if (!location.hash.startsWith('#sign-in=')) return;
      signingIn = identify();
      void signingIn.then(show);
    };
    window.addEventListener(signedOut, onSignedOut);
    window.addEventListener('hashchange', onHash);
    return () => {
      window.removeEventListener(signedOut, onSignedOut);
      window.removeEventListener('hashchange', onHash);
    };
  }, []);
  const onSignedIn = (me: Me): void => {
    signingIn = Promise.resolve({ kind: 'user', me });
    show({ kind: 'user', me });
  };
  return (
    <Switch>
      <Route path="/invitation">
        <InvitationPage
          onSignedIn={(me) => {
            navigate('/', { replace: true });
            onSignedIn(me);
          }}
        />
      </Route>
      <Route>
        {identity.kind === 'unknown' && <div className="starting" aria-busy="true" />}
        {identity.kind === 'nobody' && <SignInPage refusal={identity.refusal} onSignedIn={onSignedIn} />}
        {identity.kind === 'user' && (
          <LoginViews onSignedIn={onSignedIn}>
            <Frame
              key={identity.me.user}
              me={identity.me}
              onSignedIn={onSignedIn}
              onSignOut={() => show({ kind: 'nobody', refusal: null })}
            />
          </LoginViews>
        )}
      </Route>
    </Switch>
  );
}

function Frame({
  me,
  onSignedIn,
  onSignOut,
}: {
  readonly me: Me;
  readonly onSignedIn: (me: Me) => void;
  readonly onSignOut: () => void;
}): ReactNode {
  const [path] = useLocation();
  // On a phone the navigation is wider than the screen: scroll the current view's link into sight.
  useEffect(() => {
    const here = document.querySelector<HTMLElement>('.top .nav[aria-current]');
    const views = here?.parentElement;
    if (here !== null && views !== null && views !== undefined)
      views.scrollLeft = here.offsetLeft - views.offsetLeft - (views.clientWidth - here.offsetWidth) / 2;
  }, [path]);
  const signOut = (): void => {
    void ask('POST /api/sign-out', {})
      .then(({ next }) => {
        // Sign out of the single sign-on provider too, which sends the browser back.
        if (next !== null) location.assign(next);
      })
      .catch(() => undefined)
      .finally(() => {
        signingIn = Promise.resolve({ kind: 'nobody', refusal: null });
        onSignOut();
      });
  };
  return (
    <>
      <a className="skip" href="#content">
        Skip to content
      </a>
      <header className="top">
        <Link to="/sessions" className="brand" aria-label="Steno, list of sessions">
          <span className="brand-dot" aria-hidden="true" />
          Steno
        </Link>
        <nav aria-label="Views">
          <NavLink to="/sessions" here={path === '/' || path.startsWith('/sessions') || path === '/compare'}>
            Sessions
          </NavLink>
          <NavLink to="/nodes" here={nodeAddress.test(path)}>
            Nodes
          </NavLink>
          <NavLink to="/search" here={path === '/search'}>
            Search
          </NavLink>
          {me.findings && (
            <NavLink to="/findings" here={/^\/(findings|rules|patterns)(\/|$)/.test(path)}>
              Findings
            </NavLink>
          )}
          {me.cases.read && (
            <NavLink to="/cases" here={path.startsWith('/cases')}>
              Cases
            </NavLink>
          )}
          <NavLink to="/requests" here={path.startsWith('/requests')}>
            Requests
          </NavLink>
          {me.sql && (
            <NavLink to="/sql" here={path === '/sql'}>
              SQL
            </NavLink>
          )}
          {me.audit && (
            <NavLink to="/audit" here={path.startsWith('/audit')}>
              Audit
            </NavLink>
          )}
        </nav>
        {path !== '/search' && <QuickSearch />}
        {me.audit && <Background />}
        <div className="who">
          <Link to="/account" title={`Account; roles: ${me.roles.join(', ')}`}>
            {me.user}
          </Link>
          <button type="button" className="quiet" onClick={signOut}>
            Sign out
          </button>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Switch>
          <Route path={sessionsAddress}>
            <SessionViews me={me} />
          </Route>
          <Route path={nodeAddress}>
            <NodeViews me={me} />
          </Route>
          <Route path="/compare">
            <Suspense fallback={<div className="page" aria-busy="true" />}>
              <ComparePage />
            </Suspense>
          </Route>
          <Route path="/search">
            <SearchPage me={me} />
          </Route>
          {me.findings && (
            <Route path="/patterns">
              <Suspense fallback={<div className="page" aria-busy="true" />}>
                <PatternsPage me={me} />
              </Suspense>
            </Route>
          )}
          {me.findings && (
            <Route path={/^\/(findings|rules)(\/|$)/}>
              <FindingViews me={me} />
            </Route>
          )}
          <Route path={/^\/cases(\/|$)/}>
            <CaseViews me={me} />
          </Route>
          <Route path="/requests">
            <RequestsPage me={me} />
          </Route>
          {me.sql && (
            <Route path="/sql">
              <Suspense fallback={<div className="page" aria-busy="true" />}>
                <SqlPage me={me} />
              </Suspense>
            </Route>
          )}
          <Route path="/audit/views">
            <ViewsPage />
          </Route>
          <Route path="/audit/siem">
            <SiemPage />
          </Route>
          <Route path="/audit">
            <AuditPage />
          </Route>
          <Route path="/account">
            <AccountPage onSignedIn={onSignedIn} />
          </Route>
          <Route>
            <Empty title="There is nothing here">
              <Link to="/sessions">List of sessions</Link>
            </Empty>
          </Route>
        </Switch>
      </main>
    </>
  );
}

function NavLink({ to, here, children }: { readonly to: string; readonly here: boolean; readonly children: ReactNode }): ReactNode {
  return (
    <Link to={to} className="nav" aria-current={here ? 'page' : undefined}>
      {children}
    </Link>
  );
}

/** Search from any page; `/` focuses it. */
function QuickSearch(): ReactNode {
  const [text, setText] = useState('');
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      event.preventDefault();
      document.querySelector<HTMLInputElement>('.quick input')?.focus();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (text.trim() !== '') navigate(`/search${queryText({ q: text.trim() })}`);
  };
  return (
    <form className="quick" role="search" onSubmit={submit}>
      <input
        type="search"
        value={text}
        maxLength={1000}
        onChange={(event) => setText(event.target.value)}
        placeholder="Search what was seen"
        aria-label="Search what was seen on screens"
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
