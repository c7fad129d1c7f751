"""The Berkeley Function Calling Leaderboard's package as it is pulled: its rows, its functions and its toolkits."""
