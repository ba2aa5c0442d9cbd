#!/bin/sh
# Protected branches take merges of another branch and nothing else. `protected` has a line for each: "<branch> <from>".
zero=0000000000000000000000000000000000000000
pushed=$(cat)

# The tip of a branch as this push leaves it.
tip() {
  new=$(echo "$pushed" | while read -r _ new ref; do [ "$ref" = "refs/heads/$1" ] && echo "$new"; done)
  [ -n "$new" ] && echo "$new" || git rev-parse --verify --quiet "refs/heads/$1"
}

refuse() {
  echo "refused: $1" >&2
  exit 1
}

while read -r branch from; do
  line=$(echo "$pushed" | grep " refs/heads/$branch\$") || continue
  old=${line%% *}
  new=${line#* }
  new=${new%% *}
  [ "$new" = "$zero" ] && refuse "$branch cannot be deleted"
  [ "$old" = "$zero" ] && continue
  git merge-base --is-ancestor "$old" "$new" || refuse "$branch only goes forward: revert on $from, and merge that"
  source=$(tip "$from")
  for commit in $(git rev-list --first-parent "$old..$new"); do
    git merge-base --is-ancestor "$commit" "$source" && continue
    second=$(git rev-parse --verify --quiet "$commit^2") || refuse "$branch takes merges of $from only: $commit is none"
    git merge-base --is-ancestor "$second" "$source" || refuse "$branch takes merges of $from only: $commit merges something else"
  done
done < "$GIT_DIR/protected"
exit 0
