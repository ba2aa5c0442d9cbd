// Before anything is painted: dark, if that was chosen here or else by the system.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem('muster.theme'); } catch (e) { /* storage is off: the system decides */ }
  var dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  if (dark) document.documentElement.classList.add('pf-v6-theme-dark');
})();
