import '@patternfly/react-core/dist/styles/base.css';
import '@patternfly/react-styles/css/components/Title/title.css';

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app';
// Last, so that it comes after the style sheets of the components.
import './styles.css';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
