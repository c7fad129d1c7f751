"""The Berkeley Function Calling Leaderboard (BFCL): its cases, functions, toolkits and scorers, from the pulled
package.
"""
