"""WHEP in one request, for the players that are written in Python."""
import sys
import urllib.error
import urllib.request

SECONDS = 4


def post_offer(url, offer):
    """The answer. What was offered and answered is printed, to be read when a player hears nothing."""
    print(offer, file=sys.stderr)
    request = urllib.request.Request(url, offer.encode(), {"Content-Type": "application/sdp"}, method="POST")
    try:
        with urllib.request.urlopen(request) as response:
            answer = response.read().decode()
    except urllib.error.HTTPError as refusal:
        raise SystemExit(f"{refusal.code}: {refusal.read().decode()}") from None
    print(answer, file=sys.stderr)
    return answer
