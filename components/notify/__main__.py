"""`python -m components.notify`: what a run came to, told to the webhook in GRAFT_NOTIFY_URL."""

from components.notify.notify import NotifySettings, notify
from components.shared.process.step import command

command(notify, NotifySettings, {}, doc=__doc__)
