"""Seventeen real pretrained networks: do they group by task, and does the ranking predict?"""
