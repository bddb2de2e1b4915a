/** Routes the pages for approving and confirming in the browser; every other address shows the children. */
import type { ReactNode } from 'react';
import { Route, Switch } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { ConfirmPage } from './confirm.js';
import { DeviceLoginPage } from './device.js';

export function LoginViews({ onSignedIn, children }: { readonly onSignedIn: (me: Me) => void; readonly children: ReactNode }): ReactNode {
  return (
    <Switch>
      <Route path="/login/device">
        <DeviceLoginPage onSignedIn={onSignedIn} />
      </Route>
      <Route path="/confirm">
        <ConfirmPage onSignedIn={onSignedIn} />
      </Route>
      <Route>{children}</Route>
    </Switch>
  );
}
